"""What instructions and the payments of the data exchange write to the index: who takes part, what is listed, what it
costs, who bought it and who earned what. It follows from the records alone, as the rules do (`chain.transition`,
`chain.kinds`); a record that contradicts what is known is a `BrokenInvariant`.

Of what changes with every record (a file's price and sales, earnings, counts), the newest is kept in memory, and what a
chunk changed is written at its end.
"""

import json
import sqlite3
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec
from msgspec.structs import replace

from chain.errors import BrokenInvariant
from chain.instruction import (
    REGISTERED_ROLES,
    Delist,
    ListFile,
    Register,
    RegisterOwner,
    SignedInstruction,
    UpdatePrice,
    get_type,
)
from chain.kinds import EXTEND, PURCHASE, UPLOAD
from chain.market import DAY_SECONDS, OWNER, ROLE_BITS, File, compute_daily_charge, compute_named_shares
from chain.params import Market
from chain.payment import Payment, SignedPayment
from chain.primitives import ZERO_ADDRESS, Address, Hash
from chain.transition import make_file
from node.index.schema import INSTRUCTION_NAMES, PARTS, STORAGE_PART, decode_amount, encode_amount
from node.index.words import fold_tags, join_text

_Row: TypeAlias = tuple[Any, ...]

INSERTS: Final = {
    "instructions": "INSERT INTO instructions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "files": "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "prices": "INSERT INTO prices VALUES (?, ?, ?)",
    "file_tags": "INSERT INTO file_tags VALUES (?, ?)",
    "purchases": "INSERT INTO purchases VALUES (?, ?, ?)",
    "words": "INSERT INTO words (rowid, text) VALUES (?, ?)",
}
_REPLACE_REGISTRATION: Final = "REPLACE INTO registrations VALUES (?, ?, ?, ?, ?)"
_REPLACE_COUNT: Final = "REPLACE INTO registration_counts VALUES (?, ?, ?)"
_REPLACE_STATE: Final = "REPLACE INTO file_states VALUES (?, ?, ?, ?, ?, ?, ?)"
_REPLACE_TAG: Final = "REPLACE INTO tags VALUES (?, ?, ?)"
_REPLACE_EARNINGS: Final = "REPLACE INTO earnings VALUES (?, ?, ?, ?, ?)"

_SELECT_FILE: Final = (
    "SELECT f.place, v.address, o.address, a.address, f.size, f.storage_days, f.tags, s.price, s.keep_until, "
    "n.address, s.is_delisted, s.sale_count, s.sold, i.id FROM files f JOIN file_states s ON s.place = f.place "
    "JOIN accounts v ON v.id = f.validator JOIN accounts o ON o.id = f.owner JOIN assets a ON a.id = f.asset "
    "JOIN instructions i ON i.place = f.place LEFT JOIN accounts n ON n.id = s.service_node WHERE f.file = ?"
)


class _Listed(msgspec.Struct):
    """A file as it stands after the last record, and where its listing is."""

    place: int
    file: File
    tags: tuple[str, ...]
    sale_count: int = 0
    sold: int = 0


class MarketWriter:
    """Belongs to one `IndexWriter`, which says where records stand and what accounts are called."""

    def __init__(
        self, db: sqlite3.Connection, market: Market, rows: dict[str, list[_Row]], get_account: Callable[[Address], int]
    ) -> None:
        self._db = db
        self._market = market
        self._rows = rows
        self._get_account = get_account
        self._files: dict[Hash, _Listed] = {}
        self._changed_files: set[Hash] = set()
        self._registrations: dict[tuple[int, int], tuple[int, int | None, int]] = {}
        """(account, role) → place, validator, named only: of what the chunk wrote."""
        self._counts: dict[tuple[int, int], int] = {}
        self._tags: dict[str, tuple[int, int]] = {}
        """Tag → id and count: of what the chunk changed."""
        self._tag_count: int = db.execute("SELECT coalesce(max(id), 0) FROM tags").fetchone()[0]
        self._earnings: dict[tuple[int, int, int], tuple[int, int]] = {}
        """(account, asset, part) → count and amount: of what the chunk changed, as it will stand after it."""

    # --- from records to rows

    def add_instruction(
        self, place: int, timestamp: int, signed: SignedInstruction, get_asset: Callable[[Address], int]
    ) -> None:
        """`timestamp`: of the block, ms."""
        instruction = signed.instruction
        account = self._get_account(instruction.account)
        file = role = validator = price = None
        if isinstance(instruction, Register):
            if instruction.role not in REGISTERED_ROLES:
                raise BrokenInvariant(f"an instruction registers as {instruction.role[:32]!r}")
            role = ROLE_BITS[instruction.role]
            self._register(place, account, role, None, is_named_only=False)
        elif isinstance(instruction, RegisterOwner):
            role, validator = ROLE_BITS[OWNER], self._get_account(instruction.validator)
            self._register(place, account, role, validator, is_named_only=False)
        elif isinstance(instruction, ListFile):
            file, price = place, instruction.price
            self._add_listing(place, timestamp, signed.id, instruction, get_asset)
        elif isinstance(instruction, UpdatePrice):
            listed = self._change(instruction.file, price=instruction.price)
            file, price = listed.place, instruction.price
            self._rows["prices"].append((file, place, encode_amount(price)))
        elif isinstance(instruction, Delist):
            listed = self._change(instruction.file, is_delisted=True)
            file = listed.place
            for tag in fold_tags(listed.tags):
                self._count_tag(tag, -1)
        self._rows["instructions"].append(
            (
                place,
                signed.id,
                INSTRUCTION_NAMES.index(get_type(instruction)),
                account,
                instruction.nonce,
                file,
                role,
                validator,
                None if price is None else encode_amount(price),
            )
        )

    def add_payment(self, place: int, timestamp: int, signed: SignedPayment, asset: int) -> None:
        """What a payment of the exchange changes, beside entries. `asset`: its id in the index."""
        payment = signed.payment
        if payment.kind == PURCHASE:
            self._add_purchase(place, payment, asset)
        elif payment.kind == UPLOAD:
            days = self._get_file(payment.reference).file.storage_days
            self._change(
                payment.reference,
                service_node=payment.outputs[0].to,
                keep_until=timestamp // 1000 + days * DAY_SECONDS,
            )
            self._earn(payment.outputs[0].to, asset, STORAGE_PART, payment.outputs[0].amount)
        elif payment.kind == EXTEND:
            file = self._get_file(payment.reference).file
            if file.size == 0 or self._market.get_storage_rate(payment.asset) is None:
                raise BrokenInvariant(f"file 0x{file.id.hex()} is kept longer for what nothing costs")
            days = payment.outputs[0].amount // compute_daily_charge(file.size, payment.asset, self._market)
            self._change(payment.reference, keep_until=file.keep_until + days * DAY_SECONDS)
            self._earn(payment.outputs[0].to, asset, STORAGE_PART, payment.outputs[0].amount)

    def _add_listing(
        self, place: int, timestamp: int, listing_id: Hash, listing: ListFile, get_asset: Callable[[Address], int]
    ) -> None:
        owner = self._get_account(listing.owner)
        if self._find_registration(owner, ROLE_BITS[OWNER]) is None:
            validator = self._get_account(listing.account)
            self._register(place, owner, ROLE_BITS[OWNER], validator, is_named_only=True)
        if listing.file in self._files or self._read_file(listing.file) is not None:
            raise BrokenInvariant(f"file 0x{listing.file.hex()} is listed twice")
        self._files[listing.file] = _Listed(place, make_file(listing, listing_id, timestamp), listing.tags)
        self._changed_files.add(listing.file)
        self._rows["files"].append(
            (
                place,
                listing.file,
                self._get_account(listing.account),
                owner,
                get_asset(listing.asset),
                encode_amount(listing.size),
                listing.storage_days,
                listing.content_hash,
                listing.name,
                listing.media_type,
                json.dumps(listing.tags, ensure_ascii=False, separators=(",", ":")),
                listing.description,
                listing.key_hash,
                bool(listing.sealed_key),
            )
        )
        self._rows["prices"].append((place, place, encode_amount(listing.price)))
        self._rows["words"].append(
            (place, join_text(listing.name, listing.description, listing.media_type, listing.tags))
        )
        for tag in fold_tags(listing.tags):
            self._rows["file_tags"].append((self._count_tag(tag, 1), place))

    def _add_purchase(self, place: int, payment: Payment, asset: int) -> None:
        listed = self._get_file(payment.reference)
        shares = compute_named_shares(listed.file, self._market)
        if [(to, amount) for _, to, amount in shares] != [(output.to, output.amount) for output in payment.outputs]:
            raise BrokenInvariant(f"a purchase of file 0x{payment.reference.hex()} is not split as the rules say")
        for role, to, amount in shares:
            self._earn(to, asset, role, amount)
        listed.sale_count += 1
        listed.sold += listed.file.price
        self._changed_files.add(payment.reference)
        self._rows["purchases"].append((listed.place, self._get_account(payment.payer), place))

    def _change(self, file: Hash, **changes: Any) -> _Listed:
        listed = self._get_file(file)
        listed.file = replace(listed.file, **changes)
        self._changed_files.add(file)
        return listed

    def _register(self, place: int, account: int, role: int, validator: int | None, *, is_named_only: bool) -> None:
        before = self._find_registration(account, role)
        self._registrations[account, role] = (place, validator, int(is_named_only))
        if before is None:
            self._count(role, 0, 1)
        elif before[1] is not None:
            self._count(role, before[1], -1)
        if validator is not None:
            self._count(role, validator, 1)

    def _count(self, role: int, validator: int, change: int) -> None:
        known = self._counts.get((role, validator))
        if known is None:
            row = self._db.execute(
                "SELECT count FROM registration_counts WHERE role = ? AND validator = ?", (role, validator)
            ).fetchone()
            known = 0 if row is None else row[0]
        self._counts[role, validator] = known + change

    def _count_tag(self, tag: str, change: int) -> int:
        """The tag's id."""
        known = self._tags.get(tag)
        if known is None:
            known = self._db.execute("SELECT id, count FROM tags WHERE tag = ?", (tag,)).fetchone()
        if known is None:
            self._tag_count += 1
            known = (self._tag_count, 0)
        self._tags[tag] = (known[0], known[1] + change)
        return known[0]

    def _earn(self, to: Address, asset: int, part: str, amount: int) -> None:
        key = self._get_account(to), asset, PARTS.index(part)
        known = self._earnings.get(key)
        if known is None:
            row = self._db.execute(
                "SELECT count, amount FROM earnings WHERE account = ? AND asset = ? AND part = ?", key
            ).fetchone()
            known = (0, 0) if row is None else (row[0], decode_amount(row[1]))
        self._earnings[key] = known[0] + 1, known[1] + amount

    # --- what is known

    def _find_registration(self, account: int, role: int) -> tuple[int, int | None, int] | None:
        known = self._registrations.get((account, role))
        if known is None:
            known = self._db.execute(
                "SELECT place, validator, named_only FROM registrations WHERE account = ? AND role = ?", (account, role)
            ).fetchone()
        return known

    def _get_file(self, file: Hash) -> _Listed:
        listed = self._files.get(file)
        if listed is None:
            listed = self._read_file(file)
            if listed is None:
                raise BrokenInvariant(f"file 0x{file.hex()} is not listed")
            self._files[file] = listed
        return listed

    def _read_file(self, file: Hash) -> _Listed | None:
        row = self._db.execute(_SELECT_FILE, (file,)).fetchone()
        if row is None:
            return None
        place, validator, owner, asset, size, days, tags, price, keep_until, node, delisted, count, sold, listing = row
        known = File(
            id=file,
            validator=validator,
            owner=owner,
            asset=asset,
            price=decode_amount(price),
            size=decode_amount(size),
            storage_days=days,
            keep_until=keep_until,
            service_node=node or ZERO_ADDRESS,
            listing=listing,
            is_delisted=bool(delisted),
        )
        return _Listed(place, known, tuple(json.loads(tags)), count, decode_amount(sold))

    # --- the file

    def write(self) -> None:
        """What the chunk changed; inside the writer's transaction, after the rows of new accounts."""
        execute = self._db.executemany
        execute(
            _REPLACE_REGISTRATION,
            [(account, role, *values) for (account, role), values in self._registrations.items()],
        )
        execute(_REPLACE_COUNT, [(*key, count) for key, count in self._counts.items()])
        execute(_REPLACE_TAG, [(tag_id, tag, count) for tag, (tag_id, count) in self._tags.items()])
        execute(
            _REPLACE_EARNINGS,
            [(*key, count, encode_amount(amount)) for key, (count, amount) in self._earnings.items()],
        )
        execute(_REPLACE_STATE, [self._build_state(self._files[file]) for file in self._changed_files])

    def settle(self, max_remembered: int) -> None:
        """After a commit."""
        for changed in (self._registrations, self._counts, self._tags, self._earnings, self._changed_files):
            changed.clear()
        if len(self._files) > max_remembered:
            self._files.clear()

    def _build_state(self, listed: _Listed) -> _Row:
        file = listed.file
        return (
            listed.place,
            encode_amount(file.price),
            file.keep_until,
            None if file.service_node == ZERO_ADDRESS else self._get_account(file.service_node),
            file.is_delisted,
            listed.sale_count,
            encode_amount(listed.sold),
        )
