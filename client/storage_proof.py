"""What a contract holds, proven from the hash of one L1 block, so that the endpoint that is asked need not be trusted.

The chain of evidence: the block hash is the keccak of the header's RLP (recomputed here from the fields); the header
names the state root; the account's proof leads from there to its storage root and code hash (Yellow Paper, section 4.1
and appendix D); storage proofs lead on to the slots, and the code that is given must have that hash. What the code was
deployed with (immutables) is read by running its own views here, on that very code and without any storage.
"""

from typing import Any, Final

import msgspec
import rlp
from eth_utils.exceptions import ValidationError as EthValidationError
from rlp.exceptions import RLPException
from trie.exceptions import BadTrieProof, ValidationError
from trie.hexary import HexaryTrie

from chain import wire
from chain.errors import InvalidProof
from chain.hashing import keccak
from chain.primitives import MAX_U64, Address, Hash
from client.errors import BadReply
from client.settlement import Ethereum, L1Block, read_data, read_hash, read_quantity
from contracts import Artifact

_EMPTY_CODE_HASH: Final = keccak(b"")

_HEADER_FIELDS: Final = (
    ("parentHash", bytes),
    ("sha3Uncles", bytes),
    ("miner", bytes),
    ("stateRoot", bytes),
    ("transactionsRoot", bytes),
    ("receiptsRoot", bytes),
    ("logsBloom", bytes),
    ("difficulty", int),
    ("number", int),
    ("gasLimit", int),
    ("gasUsed", int),
    ("timestamp", int),
    ("extraData", bytes),
    ("mixHash", bytes),
    ("nonce", bytes),
)
_LATER_HEADER_FIELDS: Final = (
    ("baseFeePerGas", int),  # London, EIP-1559
    ("withdrawalsRoot", bytes),  # Shanghai, EIP-4895
    ("blobGasUsed", int),  # Cancun, EIP-4844
    ("excessBlobGas", int),
    ("parentBeaconBlockRoot", bytes),  # EIP-4788
    ("requestsHash", bytes),  # Prague, EIP-7685
    ("blockAccessListHash", bytes),  # Amsterdam, EIP-7928
    ("slotNumber", int),  # EIP-7843
)
"""Each fork appends; a header ends with the last one that it has."""

_PUSH1: Final = 0x60
_PUSH32: Final = 0x7F
_VIEW_GAS: Final = 1_000_000


class ProvenContract(msgspec.Struct, frozen=True):
    """A contract as of one L1 block."""

    l1_block: L1Block
    address: Address
    code: bytes
    slots: dict[int, int]
    """slot → value; only those that were asked for."""

    def call_view(self, signature: str) -> bytes:
        """What the view `name()` of this code returns. It sees no storage, so ask only for what is in the code.

        Raises `InvalidProof` if it fails.
        """
        return run_view(self.code, self.address, keccak(signature.encode())[:4])


def prove_contract(ethereum: Ethereum, block_hash: Hash, address: Address, slots: list[int]) -> ProvenContract:
    """Asks for header, proofs and code, and takes them only with their proofs.

    Raises `InvalidProof` for what does not lead to `block_hash`, `BadReply` for what is not a header, proof or code,
    and what asking raises; most endpoints have proofs of recent blocks only.
    """
    form = ethereum.get_block_form(block_hash)
    if form is None:
        raise InvalidProof(f"{ethereum.name} knows no block {wire.encode_bytes(block_hash)}")
    header = encode_l1_header(form)
    if keccak(header) != block_hash:
        raise InvalidProof(f"the header given for {wire.encode_bytes(block_hash)} has another hash")
    block = L1Block(
        number=read_quantity(form["number"], "number", MAX_U64),
        hash=block_hash,
        timestamp=read_quantity(form["timestamp"], "timestamp", MAX_U64),
    )
    words = [wire.encode_bytes(slot.to_bytes(32, "big")) for slot in slots]
    answer = ethereum.ask("eth_getProof", wire.encode_address(address), words, hex(block.number))
    storage_root, code_hash = check_account(answer, read_hash(form["stateRoot"], "stateRoot"), address)
    values = check_storage(answer, storage_root, slots)
    code = ethereum.get_code(address, block.number)
    if keccak(code) != code_hash:
        raise InvalidProof("the code given does not have the hash that the account has")
    return ProvenContract(block, address, code, values)


def encode_l1_header(form: dict[str, Any]) -> bytes:
    """The RLP of a block's header from its JSON. Raises `BadReply` if a field is missing or malformed."""
    fields = [_read_header_field(form.get(name), name, kind) for name, kind in _HEADER_FIELDS]
    for name, kind in _LATER_HEADER_FIELDS:
        if form.get(name) is None:
            break
        fields.append(_read_header_field(form[name], name, kind))
    return bytes(rlp.encode(fields))


def check_account(answer: Any, state_root: Hash, address: Address) -> tuple[Hash, Hash]:
    """Storage root and code hash of an account. Raises `InvalidProof`, also for one that is missing or has no code."""
    leaf = _follow(state_root, keccak(address), _read_nodes(answer, "accountProof"))
    if not leaf:
        raise InvalidProof(f"there is no account {wire.encode_address(address)} in that block")
    account = _decode_rlp(leaf)
    if not isinstance(account, list) or len(account) != 4 or not all(isinstance(item, bytes) for item in account):
        raise InvalidProof("what the account proof leads to is no account")
    storage_root, code_hash = account[2], account[3]
    if code_hash == _EMPTY_CODE_HASH:
        raise InvalidProof(f"there is no contract at {wire.encode_address(address)} in that block")
    return storage_root, code_hash


def check_storage(answer: Any, storage_root: Hash, slots: list[int]) -> dict[int, int]:
    """The values of `slots`, whose proofs must come in that order. Raises `BadReply` if there are not as many, and
    `InvalidProof`."""
    proofs = answer.get("storageProof") if isinstance(answer, dict) else None
    if not isinstance(proofs, list) or len(proofs) != len(slots):
        raise BadReply(f"eth_getProof does not answer for {len(slots)} slots")
    values = {}
    for slot, proof in zip(slots, proofs, strict=True):
        leaf = _follow(storage_root, keccak(slot.to_bytes(32, "big")), _read_nodes(proof, "proof"))
        content = _decode_rlp(leaf) if leaf else b""
        if not isinstance(content, bytes) or len(content) > 32:
            raise InvalidProof(f"what the proof of slot {slot} leads to is no word")
        values[slot] = int.from_bytes(content, "big")
    return values


def check_code(code: bytes, artifact: Artifact) -> None:
    """Whether `code` is the artifact's but for its immutables. Raises `InvalidProof`.

    The compiler leaves 32 zero bytes behind a PUSH32 for every use of an immutable, and the constructor fills them in.
    """
    template = artifact.deployed_bytecode
    if len(code) != len(template):
        raise InvalidProof(f"the code is {len(code)} bytes long, {artifact.name} of this release is {len(template)}")
    masked = bytearray(code)
    for place in find_immutables(template):
        masked[place : place + 32] = bytes(32)
    if masked != template:
        raise InvalidProof(f"the code is not {artifact.name} of this release")


def find_immutables(template: bytes) -> list[int]:
    """Offsets of the words that the constructor fills in."""
    places = []
    at = 0
    while at < len(template):
        operation = template[at]
        at += 1
        if _PUSH1 <= operation <= _PUSH32:
            size = operation - _PUSH1 + 1
            if operation == _PUSH32 and template[at : at + 32] == bytes(32):
                places.append(at)
            at += size
    return places


def run_view(code: bytes, address: Address, data: bytes) -> bytes:
    """What `code` returns when called with `data`, in an EVM of our own with nothing in its storage.

    Raises `InvalidProof` if it reverts or fails.
    """
    # Imported here: it takes half a second, and only this way of verifying needs it.
    from eth.constants import BLANK_ROOT_HASH
    from eth.db.atomic import AtomicDB
    from eth.vm.execution_context import ExecutionContext
    from eth.vm.forks.prague.state import PragueState
    from eth.vm.message import Message
    from eth.vm.transaction_context import BaseTransactionContext
    from eth_typing import Address as EthAddress
    from eth_typing import BlockNumber, Hash32

    context = ExecutionContext(
        coinbase=EthAddress(bytes(20)),
        timestamp=0,
        block_number=BlockNumber(0),
        difficulty=0,
        mix_hash=Hash32(bytes(32)),
        gas_limit=_VIEW_GAS,
        prev_hashes=(),
        chain_id=0,
        base_fee_per_gas=0,
        excess_blob_gas=0,
    )
    state = PragueState(AtomicDB(), context, BLANK_ROOT_HASH)
    state.set_code(EthAddress(address), code)
    sender = EthAddress(bytes(20))
    message = Message(
        gas=_VIEW_GAS, to=EthAddress(address), sender=sender, value=0, data=data, code=code, is_static=True
    )
    transaction = BaseTransactionContext(gas_price=0, origin=sender)
    computation = state.computation_class.apply_message(state, message, transaction)
    if computation.is_error:
        raise InvalidProof(f"the contract's view 0x{data.hex()} fails on the code alone")
    return bytes(computation.output)


def _follow(root: Hash, key: bytes, nodes: list[Any]) -> bytes:
    """What a Merkle-Patricia proof leads to; empty if it proves that nothing is there. Raises `InvalidProof`."""
    try:
        return bytes(HexaryTrie.get_from_proof(root, key, nodes))  # type: ignore[no-untyped-call]
    except (BadTrieProof, ValidationError, EthValidationError, RLPException) as error:
        raise InvalidProof(f"a proof by eth_getProof does not lead to its root: {error}") from error


def _read_nodes(form: Any, name: str) -> list[Any]:
    nodes = form.get(name) if isinstance(form, dict) else None
    if not isinstance(nodes, list):
        raise BadReply(f"eth_getProof: {name} is missing")
    decoded = [_decode_rlp(read_data(node, name)) for node in nodes]
    for node in decoded:
        _check_node(node)
    return decoded


def _check_node(node: Any) -> None:
    """The shape of a trie's node, which the library takes for granted: a branch of 17, or a path and what it leads to;
    nodes below 32 bytes stand within their parents. Raises `InvalidProof`."""
    if not isinstance(node, list | tuple) or len(node) not in (2, 17):
        raise InvalidProof("a node of a proof is neither a branch, nor an extension, nor a leaf")
    if len(node) == 2 and not (isinstance(node[0], bytes) and node[0] and node[0][0] >> 4 < 4):
        raise InvalidProof("a node of a proof has no path")
    if not isinstance(node[-1], bytes) and len(node) == 17:
        raise InvalidProof("a branch of a proof holds a node where its value belongs")
    for item in node:
        if not isinstance(item, bytes):
            _check_node(item)


def _decode_rlp(data: bytes) -> Any:
    try:
        return rlp.decode(data)
    except (RLPException, RecursionError) as error:  # the decoder recurses as deep as its input is nested
        raise InvalidProof(f"not RLP: {error}") from error


def _read_header_field(value: object, name: str, kind: type) -> bytes | int:
    return read_quantity(value, f"header.{name}") if kind is int else read_data(value, f"header.{name}")
