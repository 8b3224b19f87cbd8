"""The page on which readers verify what they hold: one file, which works from disk when no node is there any more.

Style and scripts stand in the page itself, and its policy names each by the hash of its bytes (CSP level 3, section
6.7.2.2), so that nothing else can run in it. The policy stands in the page too, for the file that a reader keeps.
"""

import base64
import hashlib
import re
from typing import Final

import msgspec
from markupsafe import Markup

from explorer.ledger import LedgerFacts
from explorer.rendering import Pages

_STYLE: Final = "style.css"
_EARLY_SCRIPT: Final = "theme.js"
"""Before anything is painted."""
_SCRIPTS: Final = ("page.js", "copy.js", "noble.js", "verifier.js", "verify.js")

_ENDS: Final = re.compile(r"</(?:script|style)|<script|<!--|\r|\0", re.IGNORECASE)
"""What would end an element before its content does, or has a parser read other bytes than those that were hashed."""


class VerifyPage(msgspec.Struct, frozen=True):
    content: bytes
    policy: str
    """For the header `Content-Security-Policy` of the answer that holds it."""
    tag: str
    """For its `ETag`."""


def make_verify_page(pages: Pages, ledger: LedgerFacts, l1_url: str) -> VerifyPage:
    """`l1_url`: the Ethereum endpoint that the page suggests; may be empty. Raises ValueError for a file of ours that
    cannot stand in a page."""
    style, early = _inline(pages, _STYLE), _inline(pages, _EARLY_SCRIPT)
    scripts = [_inline(pages, name) for name in _SCRIPTS]
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join([_name_hash(script) for script in (early, *scripts)])}",
            f"style-src {_name_hash(style)}",
            "img-src data:",
            # The reader's own Ethereum node, and, while there is one, the node that gives receipts.
            "connect-src 'self' https: http://localhost:* http://127.0.0.1:*",
            "base-uri 'none'",
            "form-action 'self'",
        )
    )
    content = pages.render(
        "verify.html",
        policy=policy,
        style=style,
        theme=early,
        scripts=scripts,
        mark="data:image/svg+xml;base64," + base64.b64encode(pages.static["mark.svg"].content).decode(),
        ledger=ledger,
        l1_url=l1_url,
    )
    # Framing cannot be forbidden from within a page.
    return VerifyPage(content, policy + "; frame-ancestors 'none'", f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _inline(pages: Pages, name: str) -> Markup:
    text = pages.static[name].content.decode()
    found = _ENDS.search(text)
    if found is not None:
        raise ValueError(f"{name} holds {found.group()!r}, which cannot stand within a page")
    return Markup(text)  # a file of ours, which holds no markup that a parser would see


def _name_hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
