"""Receipts on the client's own disk. Whoever holds them needs no operator to prove what was promised.

`<directory>/<ledger chain id>/<id>.json` holds the receipt of a payment or an instruction exactly as it came;
`…/proofs/<id>.json` what is needed to claim a withdrawal from Ethereum; `…/pending/<id>.json` what was signed and whose
outcome is not known yet, with the time it was first sent: a payment, an instruction, or an upload, which is both and
goes by its payment's id; `…/disputed/<id>.json` an answer to one that does not hold. All are written whole and synced
before anything is reported.
"""

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from chain import wire
from chain.errors import Refusal
from chain.instruction import SignedInstruction
from chain.payment import SignedPayment
from chain.primitives import MAX_U64, Hash
from client.errors import BadReply, ClientError
from client.files import get_home, remove_durably, write_durably
from client.json_text import parse_json
from client.protocol import (
    AnyHeldReceipt,
    PaymentProof,
    decode_any_receipt,
    decode_payment_form,
    decode_payment_proof,
)

_FILE: Final = re.compile(r"0x[0-9a-f]{64}\.json", re.ASCII)
_RANKS: Final = {"accepted": 0, "committed": 1, "final": 2, "void": 2}


class DamagedFile(ClientError):
    """A file of ours that does not hold what was written to it."""


Signed: TypeAlias = SignedPayment | SignedInstruction


class Pending(msgspec.Struct, frozen=True):
    """Signed and sent, unanswered."""

    records: tuple[Signed, ...]
    """One payment, one instruction, or the listing and the payment of an upload: all get into the ledger, or none."""
    sent_at_ms: int
    """When it was sent first, by this machine's clock."""

    @property
    def id(self) -> Hash:
        """The record's; an upload goes by its payment's."""
        return self.records[-1].id


class ReceiptStore:
    """The receipts of one ledger. May be used by many threads at once."""

    def __init__(self, ledger_chain_id: int, directory: Path | None = None) -> None:
        """`directory`: `TALLY_RECEIPTS_DIR`, else `receipts` in the client's home."""
        self.directory = (directory or get_receipts_directory()) / str(ledger_chain_id)
        self._lock = threading.Lock()

    @staticmethod
    def get_all(directory: Path | None = None) -> "list[ReceiptStore]":
        """One for every ledger that there are receipts of."""
        root = directory or get_receipts_directory()
        names = sorted([path.name for path in root.iterdir()]) if root.is_dir() else []
        return [ReceiptStore(int(name), root) for name in names if name.isascii() and name.isdecimal()]

    @staticmethod
    def encode(held: AnyHeldReceipt) -> bytes:
        """The file's content: the JSON as it came, indented."""
        return _encode(held.form)

    def save(self, held: AnyHeldReceipt) -> Path:
        """Keeps a receipt; one that says more (committed, final) takes the place of one that says less, never the
        other way round. Returns its path."""
        path = self.get_path(held.id)
        with self._lock:
            kept = self.find(held.id)
            if kept is None or _RANKS[held.status] >= _RANKS[kept.status]:
                write_durably(path, _encode(held.form))
        return path

    def find(self, record_id: Hash) -> AnyHeldReceipt | None:
        """Of a payment or an instruction. Raises `DamagedFile`."""
        path = self.get_path(record_id)
        if not path.exists():
            return None
        try:
            held = decode_any_receipt(_read(path))
        except (Refusal, BadReply) as error:
            raise DamagedFile(f"{path} is not a receipt: {error}") from error
        if held.id != record_id:
            raise DamagedFile(f"{path} holds the receipt of something else, 0x{held.id.hex()}")
        return held

    def get_ids(self) -> Iterator[Hash]:
        return _list_ids(self.directory)

    def find_mentions(self, reference: Hash) -> Iterator[AnyHeldReceipt]:
        """The receipts that name these 32 bytes anywhere, such as a file's id. Raises `DamagedFile`."""
        text = reference.hex().encode()
        for record_id in self.get_ids():
            if text in self.get_path(record_id).read_bytes():  # all others need not be decoded
                held = self.find(record_id)
                if held is not None:
                    yield held

    def save_proof(self, proof: PaymentProof) -> Path:
        path = self.get_path(proof.receipt.id, "proofs")
        write_durably(path, _encode(proof.form))
        return path

    def find_proof(self, payment_id: Hash) -> PaymentProof | None:
        """Raises `DamagedFile`."""
        path = self.get_path(payment_id, "proofs")
        if not path.exists():
            return None
        try:
            return decode_payment_proof(_read(path))
        except (Refusal, BadReply) as error:
            raise DamagedFile(f"{path} is not a payment proof: {error}") from error

    def save_disputed(self, record_id: Hash, held: AnyHeldReceipt) -> Path:
        """What the node answered to that record and what does not hold: evidence, kept apart from receipts."""
        path = self.get_path(record_id, "disputed")
        write_durably(path, _encode(held.form))
        return path

    def save_pending(self, pending: Pending) -> Path:
        """Before it leaves: whatever happens next, it can be sent again as it was. Raises FileExistsError if it is
        pending already."""
        path = self.get_path(pending.id, "pending")
        write_durably(path, _encode(_encode_pending(pending)), is_new=True)
        return path

    def find_pending(self, record_id: Hash) -> Pending | None:
        """Raises `DamagedFile`."""
        path = self.get_path(record_id, "pending")
        if not path.exists():
            return None
        try:
            return _decode_pending(_read(path), record_id)
        except Refusal as error:
            raise DamagedFile(f"{path} does not hold what was sent: {error}") from error

    def get_pending_ids(self) -> Iterator[Hash]:
        return _list_ids(self.directory / "pending")

    def remove_pending(self, record_id: Hash) -> None:
        remove_durably(self.get_path(record_id, "pending"))

    def get_path(self, record_id: Hash, folder: str = "") -> Path:
        """Where a receipt is, or would be; `folder`: `proofs`, `pending` or `disputed` for those."""
        return self.directory / folder / f"0x{record_id.hex()}.json"


def get_receipts_directory() -> Path:
    directory = os.environ.get("TALLY_RECEIPTS_DIR")
    return Path(directory) if directory else get_home() / "receipts"


def _encode_pending(pending: Pending) -> dict[str, Any]:
    """`{payment, signature, sentAt}`, `{instruction, signature, sentAt}`, or for an upload
    `{listingId, listing, listingSignature, payment, signature, sentAt}`."""
    form: dict[str, Any] = {}
    *before, record = pending.records
    for listing in before:
        if isinstance(listing, SignedInstruction):
            form["listingId"] = wire.encode_bytes(listing.id)
            form["listing"] = wire.encode_instruction(listing.instruction)
            form["listingSignature"] = wire.encode_bytes(listing.signature)
    if isinstance(record, SignedPayment):
        form["payment"] = wire.encode_payment(record.payment)
    else:
        form["instruction"] = wire.encode_instruction(record.instruction)
    return {**form, "signature": wire.encode_bytes(record.signature), "sentAt": hex(pending.sent_at_ms)}


def _decode_pending(form: Any, record_id: Hash) -> Pending:
    """Inverse of `_encode_pending`. The last record's id is the file's name; a listing's is in it.

    Raises `MalformedRequest`, `MalformedPayment` or `MalformedInstruction`.
    """
    signature = wire.decode_signature(wire.get_field(form, "signature", "pending"), "signature")
    sent_at_ms = wire.decode_quantity(wire.get_field(form, "sentAt", "pending"), "sentAt", MAX_U64)
    if "instruction" in form:
        instruction = wire.decode_instruction(form["instruction"])
        return Pending((SignedInstruction(record_id, instruction, signature),), sent_at_ms)
    payment = decode_payment_form(wire.get_field(form, "payment", "pending"))
    signed = SignedPayment(record_id, payment, signature)
    if "listing" not in form:
        return Pending((signed,), sent_at_ms)
    listing = SignedInstruction(
        wire.decode_hash(wire.get_field(form, "listingId", "pending"), "listingId"),
        wire.decode_instruction(form["listing"]),
        wire.decode_signature(wire.get_field(form, "listingSignature", "pending"), "listingSignature"),
    )
    return Pending((listing, signed), sent_at_ms)


def _list_ids(directory: Path) -> Iterator[Hash]:
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        if _FILE.fullmatch(path.name):
            yield bytes.fromhex(path.stem[2:])


def _encode(form: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(form), indent=2) + b"\n"


def _read(path: Path) -> Any:
    try:
        return parse_json(path.read_bytes())
    except msgspec.DecodeError as error:
        raise DamagedFile(f"{path} is not JSON: {error}") from error
