"""Files of the data exchange as pages and programs show them: which ones a list is to have, what a sale pays to whom,
and what those who take part in a payment are.

| parameter of a list | what it takes |
|---|---|
| `q` | words of the name, the tags or the description |
| `tag` | a tag; given more than once, a file has them all |
| `mediaType` | as in `Content-Type` |
| `validator`, `owner`, `serviceNode` | an address |
| `asset` | an address; zeros are ether |
| `status` | `listed`, which leaves out what was delisted, or `all` |

A parameter that is empty counts as absent: forms send them so. Sealed keys are no part of what is shown, only whether
there is one.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from chain import wire
from chain.errors import MalformedRequest, NoStorageRate
from chain.instruction import MAX_TAGS
from chain.kinds import EXTEND, PURCHASE, UPLOAD
from chain.market import compute_daily_charge
from chain.params import Market
from chain.primitives import SHARES, ZERO_HASH, Address, Hash
from explorer.filters import encode_pairs
from explorer.sentences import NAMES_OF_ROLES, PartyRoles
from node.catalogue import compute_file_shares, compute_file_status
from node.index import (
    FileFilter,
    IndexedDeposit,
    IndexedFile,
    IndexedInstruction,
    IndexedPayment,
    IndexedRecord,
    IndexReader,
)

NAMES: Final = ("q", "tag", "mediaType", "validator", "owner", "serviceNode", "asset", "status")

REPEATED: Final = ("tag",)
"""What may be given more than once."""

LISTED, ALL = "listed", "all"

MAX_TEXT: Final = 256
"""Characters that are searched for."""


class Share(msgspec.Struct, frozen=True):
    """What a sale pays one party."""

    role: str
    account: Address
    amount: int
    percent: int
    """Of the price, in hundredths of a percent, the nearest."""


class FileLine(msgspec.Struct, frozen=True):
    """A file at one moment."""

    file: IndexedFile
    status: str
    shares: list[Share]

    @property
    def is_encrypted(self) -> bool:
        return self.file.key_hash != ZERO_HASH

    @property
    def owner_share(self) -> Share | None:
        """None when the owner gets nothing."""
        return next((share for share in self.shares if share.role == "owner"), None)


class FileQuery(msgspec.Struct, frozen=True):
    """Which files a list is to have, as it came, and what it means."""

    pairs: tuple[tuple[str, str], ...]
    """(name, text) of what was given, trimmed, in the order of `NAMES`."""
    wanted: FileFilter

    @property
    def fields(self) -> dict[str, str]:
        """Of what is given once."""
        return {name: text for name, text in self.pairs if name not in REPEATED}

    @property
    def tags(self) -> tuple[str, ...]:
        return self.wanted.tags

    def encode(self) -> str:
        """As a query string; empty for all files."""
        return encode_pairs(self.pairs)

    def add_tag(self, tag: str) -> str:
        return encode_pairs([*self.pairs, ("tag", tag)])

    def remove_tag(self, tag: str) -> str:
        return encode_pairs([pair for pair in self.pairs if pair != ("tag", tag)])


def read_file_query(given: Iterable[tuple[str, str]], **fixed: str) -> FileQuery:
    """`given`: (name, text), a name as often as it came; others than `NAMES` are passed over. `fixed` stands over what
    was given. Raises `MalformedRequest`, naming the parameter."""
    trimmed = [(name, text.strip()) for name, text in given if name in NAMES and name not in fixed]
    pairs = dict.fromkeys([(name, text) for name, text in [*trimmed, *fixed.items()] if text])
    ordered = tuple(sorted(pairs, key=lambda pair: NAMES.index(pair[0])))
    texts: dict[str, str] = {}
    for name, text in ordered:
        if name in texts and name not in REPEATED:
            raise MalformedRequest(f"{name}: given twice")
        if len(text) > MAX_TEXT:
            raise MalformedRequest(f"{name}: at most {MAX_TEXT} characters")
        texts[name] = text
    tags = tuple([text for name, text in ordered if name == "tag"])
    if len(tags) > MAX_TAGS:
        raise MalformedRequest(f"tag: at most {MAX_TAGS}, as many as a file has")
    if texts.get("status", LISTED) not in (LISTED, ALL):
        raise MalformedRequest(f"status: {LISTED} or {ALL}")

    def take_address(name: str) -> Address | None:
        return wire.decode_address(texts[name], name) if name in texts else None

    wanted = FileFilter(
        text=texts.get("q"),
        tags=tags,
        media_type=texts.get("mediaType"),
        validator=take_address("validator"),
        owner=take_address("owner"),
        service_node=take_address("serviceNode"),
        asset=take_address("asset"),
        is_all=texts.get("status") == ALL,
    )
    return FileQuery(ordered, wanted)


def describe_line(file: IndexedFile, market: Market, now_ms: int) -> FileLine:
    shares = [
        Share(role, to, amount, (2 * amount * SHARES + file.price) // (2 * file.price))
        for role, to, amount in compute_file_shares(file, market)
    ]
    return FileLine(file, compute_file_status(file, now_ms), shares)


def read_files(index: IndexReader, records: Iterable[IndexedRecord]) -> dict[Hash, IndexedFile]:
    """Those that the records name: one look-up for each."""
    wanted = dict.fromkeys([_get_file_id(record) for record in records])
    found = {file_id: index.get_file(file_id) for file_id in wanted if file_id != ZERO_HASH}
    return {file_id: file for file_id, file in found.items() if file is not None}


def find_roles(record: IndexedRecord, file: IndexedFile | None, market: Market) -> PartyRoles | None:
    """None for what is no payment of the data exchange."""
    if not isinstance(record, IndexedPayment) or file is None:
        return None
    if record.kind in (UPLOAD, EXTEND):
        return PartyRoles(NAMES_OF_ROLES["validator"], (NAMES_OF_ROLES["service_node"],))
    return PartyRoles(NAMES_OF_ROLES["mart"], _find_shares(record, file, market)) if record.kind == PURCHASE else None


def compute_days_paid(payment: IndexedPayment, file: IndexedFile | None, market: Market) -> int | None:
    """Of storage, by an upload or an extension; None for other payments."""
    if file is None or payment.kind not in (UPLOAD, EXTEND):
        return None
    try:
        return payment.total // compute_daily_charge(file.size, payment.asset, market)
    except NoStorageRate:
        return None


def _find_shares(payment: IndexedPayment, file: IndexedFile, market: Market) -> tuple[str, ...]:
    """What each output is. At the time of the sale the price was what was paid, and a service node that keeps the file
    now may not have kept it then; nothing else of a file changes."""
    outputs = [(output.to, output.amount) for output in payment.outputs]
    sold = msgspec.structs.replace(file, price=payment.total)
    for then in (sold, msgspec.structs.replace(sold, service_node=None)):
        shares = compute_file_shares(then, market)
        if [(to, amount) for _, to, amount in shares] == outputs:
            return tuple([NAMES_OF_ROLES[role] for role, _, _ in shares])
    raise AssertionError(f"purchase {payment.id.hex()} pays what the rules never asked for")


def _get_file_id(record: IndexedRecord) -> Hash:
    """Zero for none."""
    if isinstance(record, IndexedDeposit):
        return ZERO_HASH
    if isinstance(record, IndexedInstruction):
        return record.file or ZERO_HASH
    return record.reference
