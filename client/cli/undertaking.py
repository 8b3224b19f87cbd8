"""A deployment under way: what was signed for it, on disk before it is sent.

Whoever is interrupted and deploys again goes on with that one. All its transactions have one nonce, and the address of
a contract follows from its creator's nonce: however often it is sent or replaced, one contract comes of it at most.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from chain import wire
from chain.hashing import keccak
from chain.primitives import Address
from client.errors import ClientError
from client.files import get_home, remove_durably, write_durably

if TYPE_CHECKING:
    from node.ethereum.deploy import Signed

_MAX_SIZE: Final = 16 << 20


class OtherUndertaking(ClientError):
    """The key is about to deploy something else on that chain, or what it left cannot be read."""


class _SignedForm(msgspec.Struct, forbid_unknown_fields=True):
    hash: str
    raw: str
    max_fee: str
    """Wei per gas, as hex; so is the next."""
    priority_fee: str


class _Form(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    l1_chain_id: int
    creator: str
    nonce: int
    code_hash: str
    """Of the creating code with the constructor's arguments: what tells one deployment from another."""
    transactions: list[_SignedForm]
    """In the order in which they were signed; each replaces those before it."""


class Undertaking:
    """One key's deployment on one chain."""

    def __init__(self, l1_chain_id: int, creator: Address) -> None:
        self._l1_chain_id = l1_chain_id
        self._creator = creator
        self.path: Path = get_home() / "deploying" / f"{l1_chain_id}-{wire.encode_address(creator).lower()}.json"

    def find(self, code: bytes) -> "tuple[Signed, ...]":
        """What was signed to create a contract with `code`; nothing if nothing was. Raises `OtherUndertaking` if it was
        for another one."""
        form = self._read()
        if form is None:
            return ()
        if form.code_hash != _hash(code):
            names = ", ".join([transaction.hash for transaction in form.transactions])
            raise OtherUndertaking(
                f"a deployment with other parameters, or of another release, is under way ({names}): give those again "
                "to bring it to an end. "
                f"To give it up, and with it a contract that may already be there, delete {self.path}"
            )
        return self._decode(form)

    def keep(self, code: bytes, transactions: "tuple[Signed, ...]") -> None:
        """On disk when it returns."""
        form = _Form(
            version=1,
            l1_chain_id=self._l1_chain_id,
            creator=wire.encode_address(self._creator),
            nonce=transactions[0].nonce,
            code_hash=_hash(code),
            transactions=[
                _SignedForm(
                    wire.encode_bytes(signed.hash),
                    wire.encode_bytes(signed.raw),
                    hex(signed.fees.max_fee),
                    hex(signed.fees.priority_fee),
                )
                for signed in transactions
            ],
        )
        write_durably(self.path, msgspec.json.format(msgspec.json.encode(form), indent=2))

    def end(self) -> None:
        """Once what came of it is known, and told."""
        remove_durably(self.path)

    def _read(self) -> _Form | None:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            form = msgspec.json.decode(content[:_MAX_SIZE], type=_Form)
        except msgspec.DecodeError as error:
            raise self._unreadable(str(error)) from error
        is_ours = (form.version, form.l1_chain_id, form.creator) == (
            1,
            self._l1_chain_id,
            wire.encode_address(self._creator),
        )
        if not is_ours or not form.transactions:
            raise self._unreadable("it is of another version, chain or key")
        return form

    def _decode(self, form: _Form) -> "tuple[Signed, ...]":
        from node.ethereum.deploy import Signed
        from node.ethereum.submission import Fees

        try:
            return tuple(
                [
                    Signed(
                        bytes.fromhex(signed.hash[2:]),
                        bytes.fromhex(signed.raw[2:]),
                        form.nonce,
                        Fees(int(signed.max_fee, 16), int(signed.priority_fee, 16)),
                    )
                    for signed in form.transactions
                ]
            )
        except ValueError as error:
            raise self._unreadable(str(error)) from error

    def _unreadable(self, problem: str) -> OtherUndertaking:
        return OtherUndertaking(
            f"{self.path} says what was signed last, and cannot be read ({problem}): look at the transactions of "
            f"{wire.encode_address(self._creator)}, then delete it"
        )


def _hash(code: bytes) -> str:
    return wire.encode_bytes(keccak(code))
