"""What every answer tells the browser not to do."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        # No frame, font or plugin, and nothing inline.
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self' data:",
        # The reader's own Ethereum node, which proofs are checked against.
        "connect-src 'self' https: http://localhost:* http://127.0.0.1:*",
        "base-uri 'none'",
        "form-action 'self'",
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
SETTLED: Final = "public, max-age=86400"
"""Of pages about what is final: the facts never change, the software that shows them may."""
IMMUTABLE: Final = "public, max-age=31536000, immutable"

_ENCODED: Final = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS]
_POLICY: Final = b"content-security-policy"
_CACHE_CONTROL: Final = b"cache-control"


def with_security_headers(application: ASGIApp) -> ASGIApp:
    """Around everything, so that errors carry them too. What says nothing of caching is not to be kept. A page that
    needs another policy sends its own, which then stands in place of ours."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = message.get("headers", ())
                names = {name.lower() for name, _ in given}
                ours = [header for header in _ENCODED if header[0] != _POLICY or _POLICY not in names]
                headers = [*given, *ours]
                if _CACHE_CONTROL not in names:
                    headers.append((_CACHE_CONTROL, LIVE.encode()))
                message = {**message, "headers": headers}
            await send(message)

        await application(scope, receive, send_with_headers)

    return answer
