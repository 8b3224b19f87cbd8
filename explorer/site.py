"""What all pages share: how they ask, what stands around them, and how long they may be kept."""

import asyncio
import re
from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, Final, TypeVar

from fastapi import Request, Response

from chain.errors import MalformedRequest
from chain.primitives import ETHER, Address
from contracts.chains import find_chain
from explorer.etags import has_already, make_etag
from explorer.formatting import Token, describe_token
from explorer.headers import LIVE, SETTLED
from explorer.ledger import read_ledger
from explorer.rendering import load_pages
from explorer.shared import SharedPage
from explorer.sources import Sources
from explorer.verify_page import VerifyPage, make_verify_page
from node.ledger_info import ETHER_INFO, AssetInfo

_UNKNOWN: Final = AssetInfo(symbol=None, decimals=None)

_HOST: Final = re.compile(r"[0-9A-Za-z.\-\[\]:]{1,255}", re.ASCII)

_Answer = TypeVar("_Answer")


class Tokens:
    """Asset → how pages name it. The index may know of one that Ethereum has not been asked about yet."""

    def __init__(self, assets: dict[Address, AssetInfo]) -> None:
        self._assets = assets
        self._tokens: dict[Address, Token] = {}

    def __getitem__(self, address: Address) -> Token:
        token = self._tokens.get(address)
        if token is None:
            info = ETHER_INFO if address == ETHER else self._assets.get(address, _UNKNOWN)
            token = self._tokens[address] = describe_token(address, info)
        return token

    def list_all(self) -> list[Token]:
        """The listed ones, in the contract's order."""
        return [self[address] for address in self._assets]


class L1Links:
    """To an explorer of Ethereum; empty where none is known."""

    def __init__(self, prefix: str | None) -> None:
        self._prefix = (prefix or "").rstrip("/")

    def transaction(self, l1_transaction: bytes) -> str:
        return self._prefix and f"{self._prefix}/tx/0x{l1_transaction.hex()}"

    def address(self, address: str) -> str:
        return self._prefix and f"{self._prefix}/address/{address}"


class Site:
    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.stopping = asyncio.Event()
        """Set when the node stops: what takes long is not to go on."""
        self.pages = load_pages()
        self.ledger = read_ledger(sources.info.describe())
        self.front = SharedPage(self._describe_state)
        self.l1_links = L1Links(sources.config.l1_explorer_url or find_chain(self.ledger.l1_chain_id).explorer_url)

    @cached_property
    def verify_page(self) -> VerifyPage:
        """The same for every reader, for as long as the node runs."""
        return make_verify_page(self.pages, self.ledger, self.sources.config.public_l1_url or "")

    def get_head(self) -> str:
        """How far the ledger is. Taken before a page asks anything, it is at least what the page shows, so that
        readers' scripts know what is news to it."""
        commitments = self.sources.commitments
        return f"{self.sources.indexed.value} {commitments.mined_epoch} {commitments.final_epoch}"

    def _describe_state(self) -> Hashable:
        """Of all that the front page shows, but for the time."""
        _, health = self.sources.report_health()
        return self.get_head(), str(health), tuple(self.sources.info.assets.items())

    @property
    def tokens(self) -> Tokens:
        return Tokens(dict(self.sources.info.assets))

    async def ask(self, question: Callable[[], _Answer]) -> _Answer:
        """What `question` finds in the index, all of one moment. Raises `Overloaded`."""
        index = self.sources.index

        def ask() -> _Answer:
            with index.at_one_moment():
                return question()

        return await self.sources.work(ask)

    async def find(self, question: Callable[[], _Answer]) -> _Answer:
        """As `ask`. What is not there (None, or nothing in it) is asked for once more when the index has caught up: its
        receipt may just have been given."""
        found = await self.ask(question)
        if not found:
            await self.sources.settle()
            found = await self.ask(question)
        return found

    async def show(
        self, request: Request, template: str, *, status: int = 200, is_settled: bool = False, **values: Any
    ) -> Response:
        """A page. `is_settled`: nothing that it shows will ever change, so browsers may keep it; then it says nothing
        of the present (no age, no banner)."""
        _, health = self.sources.report_health()
        common = {
            "now": None if is_settled else self.sources.clock_ms(),
            "health": health,
            "ledger": self.ledger,
            "commitments": self.sources.commitments,
            "tokens": self.tokens,
            "ether": describe_token(ETHER, ETHER_INFO),
            "l1": self.l1_links,
            "public_l1_url": self.sources.config.public_l1_url or "",
            "path": get_path(request),
            "head": request.state.head,
        }
        body = await self.sources.work(lambda: self.pages.render(template, **common, **values))
        if not is_settled:
            return Response(body, status, {"cache-control": LIVE}, media_type="text/html")
        tag = make_etag(body)
        headers = {"cache-control": SETTLED, "etag": tag}
        if has_already(request, tag):
            return Response(status_code=304, headers=headers)
        return Response(body, status, headers, media_type="text/html")


def get_path(request: Request) -> str:
    """Without the query. `request.url` would decode that too, and fail at what is no UTF-8."""
    path: str = request.scope["path"]
    return path


def get_origin(request: Request) -> str:
    """As the reader sees it: a proxy before the node says whether it speaks TLS. Only shown to who asked. Raises
    `MalformedRequest` for a host that is none."""
    base = request.base_url
    if _HOST.fullmatch(base.netloc) is None:
        raise MalformedRequest("host: not a name or an address, and a port")
    scheme = "https" if request.headers.get("x-forwarded-proto") == "https" else base.scheme
    return f"{scheme}://{base.netloc}"
