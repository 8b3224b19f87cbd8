"""Whether the contract at an address is a Settlement of this release, by its code and by how it came to be.

The code on chain is compared byte for byte, but for its immutables, which must be one word each wherever they stand.
Code alone would not show what a constructor of somebody else's left in storage; so the transaction that created the
contract is looked up, too, and must hold our own creating code. What the endpoint says of the chain is believed.
"""

from typing import Final

import msgspec
from eth_abi.abi import decode as decode_abi
from eth_abi.abi import encode as encode_abi
from eth_abi.exceptions import DecodingError

from chain import wire
from chain.params import Domain
from chain.primitives import ETHER, MAX_U64, Address, Hash
from client.errors import BadReply
from client.settlement import Ethereum, SettlementReader, read_data, read_hash, read_quantity
from contracts import Artifact, load_artifact

CONTRACT: Final = "src/Settlement.sol:Settlement"

_PARAMETERS: Final = (
    "operator", "coldKey", "listingKey", "nativeAsset",
    "challengePeriod", "answerPeriod", "followUp", "minInterval", "maxSilence", "listingDelay",
)  # fmt: skip
"""The immutables that are the constructor's first argument, in its order."""
_CONSTRUCTOR: Final = ("(address,address,address,address,uint64,uint64,uint64,uint64,uint64,uint64)", "address[]")
_ADDRESSES: Final = frozenset({"operator", "coldKey", "listingKey", "nativeAsset"})
_MAX_BLOCKS: Final = 16
"""L1 blocks of one second that are searched for the creating transaction."""


class CodeReport(msgspec.Struct, frozen=True):
    l1_chain_id: int
    settlement: Address
    problems: tuple[str, ...]
    """What is not as it should be; nothing if the contract is ours."""
    values: tuple[tuple[str, str], ...] = ()
    """Name and value of each immutable and of the assets listed at once, as they stand in the code and were given."""
    l1_transaction: Hash | None = None
    """Which created the contract; None if it was not found."""
    constructor: bytes | None = None
    """The constructor's arguments; None likewise."""

    @property
    def is_ours(self) -> bool:
        return not self.problems


def check_code(ethereum: Ethereum, settlement: Address) -> CodeReport:
    """Raises `Unreachable`, `BadReply` or `RpcError`."""
    l1_chain_id = ethereum.get_chain_id()
    code = ethereum.get_code(settlement)
    artifact = load_artifact("Settlement")
    problems = compare_code(artifact, code)
    if problems:
        return CodeReport(l1_chain_id, settlement, tuple(problems))
    words = {name: code[places[0] : places[0] + 32] for name, places in artifact.immutables.items()}
    domain = Domain.of(l1_chain_id, settlement)
    if (int.from_bytes(words["ledgerChainId"], "big"), words["domainSeparator"]) != (domain.chain_id, domain.separator):
        problems.append(f"its signatures are not bound to this address on chain {l1_chain_id}")
    created = _find_creation(ethereum, settlement, int.from_bytes(words["deployedAt"], "big"))
    values = [(name, _show(name, word)) for name, word in words.items()]
    if created is None:
        problems.append("the transaction that created it was not found, so what it began with is not known")
        return CodeReport(l1_chain_id, settlement, tuple(problems), tuple(values))
    l1_transaction, data = created
    if not data.startswith(artifact.bytecode):
        problems.append("it was created by other code than this release's")
        return CodeReport(l1_chain_id, settlement, tuple(problems), tuple(values), l1_transaction)
    constructor = data[len(artifact.bytecode) :]
    assets = _read_constructor(constructor, words)
    if assets is None:
        problems.append("its constructor's arguments are not what its code says")
    else:
        values.append(("assets", ", ".join(assets)))
    return CodeReport(l1_chain_id, settlement, tuple(problems), tuple(values), l1_transaction, constructor)


def _read_constructor(constructor: bytes, words: dict[str, bytes]) -> list[str] | None:
    """The assets that were listed at once; None unless the arguments are encoded as they must be, and say what the
    immutables say."""
    try:
        parameters, assets = decode_abi(_CONSTRUCTOR, constructor)
    except DecodingError:
        return None
    types = ["address" if name in _ADDRESSES else "uint64" for name in _PARAMETERS]
    if encode_abi(types, parameters) != b"".join([words[name] for name in _PARAMETERS]):
        return None
    if encode_abi(_CONSTRUCTOR, [parameters, assets]) != constructor:
        return None
    found = [bytes.fromhex(asset[2:]) for asset in assets]
    return ["ether" if asset == ETHER else wire.encode_address(asset) for asset in found]


def compare_code(artifact: Artifact, code: bytes) -> list[str]:
    """What is wrong with the code at an address; nothing if it is the artifact's."""
    if not code:
        return ["there is no contract at this address"]
    expected = artifact.deployed_bytecode
    if len(code) != len(expected):
        return [f"its code has {len(code)} bytes, this release's has {len(expected)}"]
    masked = bytearray(code)
    problems = []
    for name, places in artifact.immutables.items():
        if len({code[place : place + 32] for place in places}) > 1:
            problems.append(f"its code has two values of {name}")
        for place in places:
            masked[place : place + 32] = bytes(32)
    if bytes(masked) != expected:
        place = next(place for place, (one, other) in enumerate(zip(masked, expected, strict=True)) if one != other)
        return [f"its code is not this release's, from byte {place} on"]
    return problems


def _find_creation(ethereum: Ethereum, settlement: Address, deployed_at: int) -> tuple[Hash, bytes] | None:
    """(hash, data) of the transaction that created the contract, by the time that the contract itself noted."""
    number = SettlementReader(ethereum, settlement).find_block_at(deployed_at)
    for block in range(number, number + _MAX_BLOCKS):
        form = ethereum.ask("eth_getBlockByNumber", hex(block), True)
        if not isinstance(form, dict) or read_quantity(form.get("timestamp"), "timestamp", MAX_U64) != deployed_at:
            return None
        for transaction in form.get("transactions") or []:
            if not isinstance(transaction, dict):
                raise BadReply("a block without its transactions")
            if transaction.get("to") is not None:
                continue
            l1_transaction = read_hash(transaction.get("hash"), "hash")
            receipt = ethereum.get_tx_receipt(l1_transaction) or {}
            if str(receipt.get("contractAddress")).lower() == "0x" + settlement.hex():
                return l1_transaction, read_data(transaction.get("input"), "input")
    return None


def _show(name: str, word: bytes) -> str:
    if name in _ADDRESSES:
        return wire.encode_address(word[12:])
    return wire.encode_bytes(word) if name == "domainSeparator" else str(int.from_bytes(word, "big"))
