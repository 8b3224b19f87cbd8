"""What every answer tells the browser not to do."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        # No script, frame, font or connection at all: the pages need none yet.
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

SECURITY_HEADERS: Final = (
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=()"),
)

LIVE: Final = "no-store"
IMMUTABLE: Final = "public, max-age=31536000, immutable"

_ENCODED: Final = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS]
_CACHE_CONTROL: Final = b"cache-control"


def with_security_headers(application: ASGIApp) -> ASGIApp:
    """Around everything, so that errors carry them too. What says nothing of caching is not to be kept."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), *_ENCODED]
                if all(name.lower() != _CACHE_CONTROL for name, _ in headers):
                    headers.append((_CACHE_CONTROL, LIVE.encode()))
                message = {**message, "headers": headers}
            await send(message)

        await application(scope, receive, send_with_headers)

    return answer
