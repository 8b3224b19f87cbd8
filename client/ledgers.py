"""Which ledger a client deals with: the domain that its signatures are bound to, and the operator whose promises count.

The ledger chain id follows from the L1 chain id and the contract's address, so a pin kept under it can only ever differ
in the operator. The operator is the contract's to say; when Ethereum cannot be asked at first contact, the node's own
word is pinned (trust on first use), and every later contact must agree with the pin.
"""

import json
from pathlib import Path
from typing import Any, Final

import msgspec

from chain import wire
from chain.errors import MalformedRequest
from chain.params import Domain, Parameters
from chain.primitives import MAX_U64, Address
from client.errors import BadReply, WrongLedger
from client.files import get_home, write_durably
from client.protocol import NodeInfo, decode_parameters

FROM_CONTRACT: Final = "contract"
FROM_NODE: Final = "node"


class Ledger(msgspec.Struct, frozen=True):
    l1_chain_id: int
    settlement: Address
    operator: Address
    source: str
    """Who named the operator: `contract`, or `node` at first contact."""
    last_cut_at: int = 0
    """Milliseconds: the latest `cutAt` of a commitment seen mined. No later receipt may be dated before it."""
    parameters: Parameters | None = None
    """As the node stated them at first contact, for those who check later and ask nobody. None in older pins."""

    @property
    def domain(self) -> Domain:
        return Domain.of(self.l1_chain_id, self.settlement)


def check_info(info: NodeInfo, ledger: Ledger) -> None:
    """Raises `WrongLedger` unless the node speaks of this ledger and this operator, and of the same parameters as
    before."""
    if info.domain != ledger.domain:
        raise WrongLedger(
            f"the node serves ledger {info.domain.chain_id} of contract "
            f"{wire.encode_address(info.domain.verifying_contract)}, not ledger {ledger.domain.chain_id} of "
            f"{wire.encode_address(ledger.settlement)}"
        )
    if info.operator != ledger.operator:
        raise WrongLedger(
            f"the node names operator {wire.encode_address(info.operator)}, the {ledger.source} named "
            f"{wire.encode_address(ledger.operator)}"
        )
    if ledger.parameters is not None and info.parameters != ledger.parameters:
        raise WrongLedger(
            f"the node states the parameters {info.parameters.to_json()}, and stated {ledger.parameters.to_json()} "
            "before; they never change"
        )


class LedgerBook:
    """Pins, one JSON file a ledger: `<directory>/<ledger chain id>.json`."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or get_home() / "ledgers"

    def find(self, ledger_chain_id: int) -> Ledger | None:
        """Raises `WrongLedger` for a file that does not hold the pin of that ledger."""
        path = self._get_path(ledger_chain_id)
        if not path.exists():
            return None
        try:
            ledger = _decode(json.loads(path.read_bytes()))
        except (ValueError, MalformedRequest, BadReply) as error:
            raise WrongLedger(f"{path} is not a pin: {error}") from error
        if ledger.domain.chain_id != ledger_chain_id or not _is_consistent(ledger):
            raise WrongLedger(f"{path} holds the pin of another ledger")
        return ledger

    def get_all(self) -> list[Ledger]:
        """Raises as `find`."""
        paths = sorted(self.directory.glob("*.json")) if self.directory.is_dir() else []
        found = [self.find(int(path.stem)) for path in paths if path.stem.isascii() and path.stem.isdecimal()]
        return [ledger for ledger in found if ledger is not None]

    def pin(self, ledger: Ledger) -> Path:
        path = self._get_path(ledger.domain.chain_id)
        write_durably(path, json.dumps(_encode(ledger), indent=2).encode() + b"\n")
        return path

    def note_mined(self, ledger: Ledger, cut_at: int) -> Ledger:
        """Remembers that a commitment cut at `cut_at` (ms) was seen mined."""
        if cut_at <= ledger.last_cut_at:
            return ledger
        noted = msgspec.structs.replace(ledger, last_cut_at=cut_at)
        self.pin(noted)
        return noted

    def _get_path(self, ledger_chain_id: int) -> Path:
        return self.directory / f"{ledger_chain_id}.json"


def _is_consistent(ledger: Ledger) -> bool:
    return ledger.parameters is None or ledger.parameters.domain == ledger.domain


def _encode(ledger: Ledger) -> dict[str, Any]:
    return {
        "l1ChainId": hex(ledger.l1_chain_id),
        "settlement": wire.encode_address(ledger.settlement),
        "operator": wire.encode_address(ledger.operator),
        "source": ledger.source,
        "lastCutAt": hex(ledger.last_cut_at),
        "parameters": None if ledger.parameters is None else ledger.parameters.to_json(),
    }


def _decode(form: object) -> Ledger:
    source = wire.get_field(form, "source", "pin")
    if source not in (FROM_CONTRACT, FROM_NODE):
        raise ValueError(f"source {source!r}")
    parameters = form.get("parameters") if isinstance(form, dict) else None
    return Ledger(
        l1_chain_id=wire.decode_quantity(wire.get_field(form, "l1ChainId", "pin"), "l1ChainId", MAX_U64),
        settlement=wire.decode_address(wire.get_field(form, "settlement", "pin"), "settlement"),
        operator=wire.decode_address(wire.get_field(form, "operator", "pin"), "operator"),
        source=source,
        last_cut_at=wire.decode_quantity(wire.get_field(form, "lastCutAt", "pin"), "lastCutAt", MAX_U64),
        parameters=None if parameters is None else decode_parameters(parameters),
    )
