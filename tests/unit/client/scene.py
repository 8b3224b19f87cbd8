"""A small ledger with everything a client looks at: blocks, receipts, commitments, and the contract that has them.

`Scene` is made by the rules alone. `Contract` is the Ethereum of a test: it answers the calls that a client makes of an
endpoint, and refuses any other. `Proven` gives it a state of real Merkle-Patricia tries.
"""

from collections.abc import Sequence
from typing import Any, Final

import rlp
from coincurve import PrivateKey, PublicKey
from eth_abi.abi import decode as decode_abi
from eth_abi.abi import encode as encode_abi
from trie.hexary import HexaryTrie

from chain import wire
from chain.block import Block, Deposit, Header, Record, build_records_tree, hash_header, make_deposit
from chain.commitment import Commitment, compute_stored_hash, hash_commitment
from chain.hashing import keccak
from chain.instruction import Instruction, SignedInstruction, compute_instruction_id
from chain.ledger import Ledger as Replay
from chain.merkle import ListTree
from chain.params import Market, Parameters
from chain.payment import Output, Payment, SignedPayment, compute_payment_id
from chain.primitives import ETHER, ZERO_HASH, Address, Hash
from chain.receipt import Inclusion
from chain.signatures import compute_address, sign_digest
from client.audit.events import AssetListed, BlockRead, EpochCut, EpochSealed, Event
from client.ledgers import FROM_CONTRACT, Ledger
from client.receipts import Signed
from client.settlement import COMMITMENT_ABI, COMMITTED_TOPIC, DEPOSITED_TOPIC
from client.storage_proof import find_immutables, run_view
from client.transport import Reply, Request
from contracts import load_artifact


def make_key(name: str) -> PrivateKey:
    return PrivateKey(keccak(f"key of {name}".encode()))


def get_address(key: PrivateKey) -> Address:
    return compute_address(PublicKey.from_secret(key.secret))


OPERATOR_KEY, ALICE_KEY, BOB_KEY = make_key("operator"), make_key("alice"), make_key("bob")
OPERATOR, ALICE, BOB = get_address(OPERATOR_KEY), get_address(ALICE_KEY), get_address(BOB_KEY)
TOKEN: Final = b"\x7e" * 20
SETTLEMENT: Final = b"\x5e" * 20
DEPLOYED_AT: Final = 1_700_000_000
CHALLENGE_PERIOD: Final = 3600
MARKET: Final = Market(validator_share=5_000, owner_share=4_500, commission=500, storage_rates=((TOKEN, 1 << 20),))
PARAMETERS: Final = Parameters(
    l1_chain_id=31337, settlement=SETTLEMENT, native_asset=ETHER, deployed_at=DEPLOYED_AT, market=MARKET
)
DOMAIN: Final = PARAMETERS.domain
LEDGER: Final = Ledger(31337, SETTLEMENT, OPERATOR, FROM_CONTRACT)


def sign(payment: Payment, key: PrivateKey) -> SignedPayment:
    payment_id = compute_payment_id(payment, DOMAIN)
    return SignedPayment(payment_id, payment, sign_digest(key, payment_id))


def sign_instruction(instruction: Instruction, key: PrivateKey) -> SignedInstruction:
    instruction_id = compute_instruction_id(instruction, DOMAIN)
    return SignedInstruction(instruction_id, instruction, sign_digest(key, instruction_id))


def encode_content(signed: Signed) -> dict[str, Any]:
    """The JSON of the payment or the instruction itself."""
    if isinstance(signed, SignedPayment):
        return wire.encode_payment(signed.payment)
    return wire.encode_instruction(signed.instruction)


def make_payment(to: Address, amount: int, nonce: int, *, kind: str = "transfer", **fields: Any) -> Payment:
    """From Alice, in TOKEN."""
    given = {"valid_until": 0, "reference": ZERO_HASH, "memo": "", **fields}
    return Payment(asset=TOKEN, payer=ALICE, nonce=nonce, kind=kind, outputs=(Output(to, amount),), **given)


class Scene:
    """Two sealed epochs and an open one: deposits for Alice, her payments to Bob, and a withdrawal in epoch 2."""

    def __init__(self) -> None:
        self.replay = Replay(PARAMETERS)
        self.events: list[Event] = []
        self.blocks: list[tuple[Block, bytes]] = []
        self.sealed: list[tuple[Commitment, bytes, int]] = []
        self.deposits: list[Deposit] = []
        self._list(ETHER)
        self._list(TOKEN)
        self.add_block(self._deposit(1_000), self._deposit(500))
        self.first = sign(make_payment(BOB, 70, 0, memo="first"), ALICE_KEY)
        self.second = sign(make_payment(BOB, 30, 2, valid_until=DEPLOYED_AT + 10_000), ALICE_KEY)
        self.add_block(self.first, self.second)
        self.add_block(sign(make_payment(ALICE, 5, 1), ALICE_KEY))
        self.seal()
        self.withdrawal = sign(make_payment(BOB, 200, 3, kind="withdraw"), ALICE_KEY)
        self.add_block(self.withdrawal, self._deposit(40))
        self.seal()
        self.last = sign(make_payment(BOB, 1, 4), ALICE_KEY)
        self.add_block(self.last)

    def add_block(self, *records: Record) -> None:
        state = self.replay.state
        timestamp = max(state.timestamp, state.last_cut_at) + 1_000
        root = build_records_tree(records).root
        header = Header(state.block_number + 1, state.block_hash, timestamp, root, len(records))
        block = Block(header, records)
        self.replay.apply_block(block)
        signature = sign_digest(OPERATOR_KEY, hash_header(header, DOMAIN))
        self.blocks.append((block, signature))
        self.events.append(BlockRead(block, signature, hash_header(header, DOMAIN)))

    def seal(self) -> None:
        state = self.replay.state
        cut_at = state.timestamp + 500
        commitment = self.replay.cut(state.epoch, cut_at).commitment
        signature = sign_digest(OPERATOR_KEY, hash_commitment(commitment, DOMAIN))
        included_at = cut_at // 1000 + 12
        self.sealed.append((commitment, signature, included_at))
        self.events.append(EpochCut(commitment.epoch, cut_at))
        self.events.append(EpochSealed(commitment, signature, name_transaction(commitment.epoch), included_at))

    def get_receipt(self, signed: Signed, status: str | None = None) -> dict[str, Any]:
        """In JSON, as the node gives it."""
        block, signature = next(pair for pair in self.blocks if signed in pair[0].records)
        index = block.records.index(signed)
        inclusion = self._find_inclusion(block)
        return wire.encode_receipt(
            signed,
            status or ("committed" if inclusion else "accepted"),
            wire.encode_domain(DOMAIN),
            encode_content(signed),
            wire.encode_header(block.header, hash_header(block.header, DOMAIN), signature),
            index,
            build_records_tree(block.records).prove(index),
            wire.encode_inclusion(inclusion) if inclusion else None,
        )

    def _find_inclusion(self, block: Block) -> Inclusion | None:
        for commitment, _, included_at in self.sealed:
            if commitment.first_block <= block.header.number <= commitment.last_block:
                span = self.blocks[commitment.first_block - 1 : commitment.last_block]
                index = block.header.number - commitment.first_block
                siblings = ListTree([hash_header(other.header, DOMAIN) for other, _ in span]).prove(index)
                return Inclusion(commitment, index, tuple(siblings), name_transaction(commitment.epoch), included_at)
        return None

    def _deposit(self, amount: int, account: Address = ALICE) -> Deposit:
        index = len(self.deposits)
        l1_block = 10 + index
        deposit = make_deposit(TOKEN, index, account, amount, l1_block, name_block(l1_block), name_deposit(index))
        self.deposits.append(deposit)
        return deposit

    def _list(self, asset: Address) -> None:
        self.replay.list_asset(asset)
        self.events.append(AssetListed(asset))


def name_transaction(epoch: int) -> Hash:
    return keccak(f"commit {epoch}".encode())


def name_deposit(index: int) -> Hash:
    return keccak(f"deposit {index}".encode())


def name_block(number: int) -> Hash:
    return keccak(f"L1 block {number}".encode())


_VIEWS: Final = {
    keccak(signature.encode())[:4]: (signature.partition("(")[0], signature)
    for signature in (
        "operator()",
        "nativeAsset()",
        "challengePeriod()",
        "deployedAt()",
        "ledgerChainId()",
        "head()",
        "commitmentHash(uint64)",
        "assetCount()",
        "assetAt(uint256)",
        "depositCount(address)",
        "depositAt(address,uint64)",
        "held(address)",
        "isClaimed(uint64,address,uint64)",
    )
}


class Contract:
    """A Settlement contract that has included what a scene sealed; a `client.settlement.Caller`."""

    name = "test"

    def __init__(self, scene: Scene, *, final_epoch: int = 0, now: int | None = None) -> None:
        self.chain_id = 31337
        self.address = SETTLEMENT
        self.operator = OPERATOR
        self.native_asset = ETHER
        self.final_epoch = final_epoch
        self.assets = [ETHER, TOKEN]
        self.deposits = list(scene.deposits)
        self.commitments = list(scene.sealed)
        self.paid_out = 0
        self.now = now if now is not None else (self.commitments[-1][2] + 60 if self.commitments else DEPLOYED_AT + 60)
        self.block_number = 1_000
        self.asked: list[str] = []

    def call(self, method: str, *params: Any) -> Any:
        self.asked.append(method)
        return getattr(self, method)(*params)

    def call_batch(self, batch: Sequence[Request]) -> list[Reply]:
        assert len(batch) <= 100, "public endpoints refuse larger batches"
        return [Reply(result=self.call(method, *params)) for method, params in batch]

    def close(self) -> None:
        pass

    # --- methods of the endpoint

    def eth_chainId(self) -> str:
        return hex(self.chain_id)

    def eth_getBlockByNumber(self, tag: str, full: bool) -> Any:
        assert full is False
        number = self.block_number if tag == "latest" else int(tag, 16)
        if number > self.block_number:
            return None
        timestamp = self.now if number == self.block_number else DEPLOYED_AT + number
        return {"number": hex(number), "hash": wire.encode_bytes(name_block(number)), "timestamp": hex(timestamp)}

    def eth_call(self, call: dict[str, str], tag: str) -> str:
        if bytes.fromhex(call["to"][2:]) != self.address:
            return "0x"
        data = bytes.fromhex(call["data"][2:])
        name, signature = _VIEWS[data[:4]]
        types = [kind for kind in signature.partition("(")[2].rstrip(")").split(",") if kind]
        arguments = decode_abi(types, data[4:])
        kinds, values = getattr(self, "view_" + name)(*arguments)
        return wire.encode_bytes(encode_abi(kinds, values))

    def eth_getTransactionReceipt(self, name: str) -> Any:
        for commitment, signature, included_at in self.commitments:
            if wire.encode_bytes(name_transaction(commitment.epoch)) == name:
                return self._make_tx_receipt(name, self._log_commitment(commitment, signature, included_at))
        for deposit in self.deposits:
            if wire.encode_bytes(deposit.l1_transaction) == name:
                return self._make_tx_receipt(name, self._log_deposit(deposit))
        return None

    def eth_getLogs(self, query: dict[str, Any]) -> list[Any]:
        assert query["topics"] == [wire.encode_bytes(COMMITTED_TOPIC)]
        logs = [self._log_commitment(*sealed) for sealed in self.commitments]
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        return [log for log in logs if first <= int(log["blockNumber"], 16) <= last]

    # --- views of the contract

    def view_operator(self) -> Any:
        return ["address"], [self.operator]

    def view_nativeAsset(self) -> Any:
        return ["address"], [self.native_asset]

    def view_challengePeriod(self) -> Any:
        return ["uint64"], [CHALLENGE_PERIOD]

    def view_deployedAt(self) -> Any:
        return ["uint64"], [DEPLOYED_AT]

    def view_ledgerChainId(self) -> Any:
        return ["uint64"], [DOMAIN.chain_id]

    def view_head(self) -> Any:
        last = self.commitments[-1] if self.commitments else None
        return ["uint64"] * 3, [last[0].epoch if last else 0, last[2] if last else 0, self.final_epoch]

    def view_commitmentHash(self, epoch: int) -> Any:
        return ["bytes32"], [self.get_stored_hash(epoch)]

    def view_assetCount(self) -> Any:
        return ["uint256"], [len(self.assets)]

    def view_assetAt(self, index: int) -> Any:
        return ["address", "uint64"], [self.assets[index], DEPLOYED_AT]

    def view_depositCount(self, asset: str) -> Any:
        return ["uint64"], [len(self.deposits) if to_address(asset) == TOKEN else 0]

    def view_depositAt(self, asset: str, index: int) -> Any:
        kinds = ["address", "uint128", "uint128", "uint64"]
        if to_address(asset) != TOKEN or index >= len(self.deposits):
            return kinds, [bytes(20), 0, 0, 0]
        deposit = self.deposits[index]
        cumulative = sum(other.amount for other in self.deposits[: index + 1])
        return kinds, [deposit.account, deposit.amount, cumulative, DEPLOYED_AT]

    def view_held(self, asset: str) -> Any:
        held = sum(deposit.amount for deposit in self.deposits) - self.paid_out
        return ["uint256"], [held if to_address(asset) == TOKEN else 0]

    def view_isClaimed(self, epoch: int, asset: str, index: int) -> Any:
        return ["bool"], [False]

    # --- what they stand on

    def get_stored_hash(self, epoch: int) -> Hash:
        for commitment, _, included_at in self.commitments:
            if commitment.epoch == epoch:
                return compute_stored_hash(hash_commitment(commitment, DOMAIN), included_at)
        return ZERO_HASH

    def _make_tx_receipt(self, name: str, log: dict[str, Any]) -> dict[str, Any]:
        return {
            "transactionHash": name,
            "status": "0x1",
            "blockNumber": log["blockNumber"],
            "blockHash": wire.encode_bytes(name_block(int(log["blockNumber"], 16))),
            "logs": [{"address": "0x" + "11" * 20, "topics": [], "data": "0x"}, log],
        }

    def _log_commitment(self, commitment: Commitment, signature: bytes, included_at: int) -> dict[str, Any]:
        lines = [tuple(getattr(line, field) for field in line.__struct_fields__) for line in commitment.assets]
        packed = (*[getattr(commitment, field) for field in commitment.__struct_fields__[:-1]], lines)
        data = encode_abi(["uint64", COMMITMENT_ABI, "bytes"], [included_at, packed, signature])
        topics = [COMMITTED_TOPIC, commitment.epoch.to_bytes(32, "big"), hash_commitment(commitment, DOMAIN)]
        return self._make_log(topics, data, 100 + commitment.epoch, name_transaction(commitment.epoch))

    def _log_deposit(self, deposit: Deposit) -> dict[str, Any]:
        topics = [DEPOSITED_TOPIC, bytes(12) + deposit.asset, deposit.index.to_bytes(32, "big")]
        topics.append(bytes(12) + deposit.account)
        data = encode_abi(["address", "uint128"], [deposit.account, deposit.amount])
        return self._make_log(topics, data, deposit.l1_block, deposit.l1_transaction)

    def _make_log(self, topics: list[bytes], data: bytes, l1_block: int, l1_transaction: Hash) -> dict[str, Any]:
        return {
            "address": wire.encode_address(self.address),
            "topics": [wire.encode_bytes(topic) for topic in topics],
            "data": wire.encode_bytes(data),
            "blockNumber": hex(l1_block),
            "transactionHash": wire.encode_bytes(l1_transaction),
        }


def to_address(text: str) -> Address:
    return bytes.fromhex(text[2:])


class ProvenContract(Contract):
    """The same with a state: tries, a header over them, and this release's code, deployed with the scene's values."""

    def __init__(self, scene: Scene, *, final_epoch: int = 0) -> None:
        super().__init__(scene, final_epoch=final_epoch)
        self.code = deploy_code(
            {
                "operator()": OPERATOR,
                "challengePeriod()": CHALLENGE_PERIOD.to_bytes(8, "big"),
                "ledgerChainId()": DOMAIN.chain_id.to_bytes(8, "big"),
            }
        )
        artifact = load_artifact("Settlement")
        self.storage = HexaryTrie({})
        last, _, included_at = self.commitments[-1]
        head = {"epoch": last.epoch, "includedAt": included_at, "finalEpoch": final_epoch}
        self._set_slot(artifact.get_slot("_head"), pack_struct(artifact.storage_layout, "_head", head))
        for commitment, _, _ in self.commitments:
            key = commitment.epoch.to_bytes(32, "big") + artifact.get_slot("commitmentHash").to_bytes(32, "big")
            slot = int.from_bytes(keccak(key), "big")
            self._set_slot(slot, int.from_bytes(self.get_stored_hash(commitment.epoch), "big"))
        self.state = HexaryTrie({})
        account = [b"\x01", b"", self.storage.root_hash, keccak(self.code)]
        self.state[keccak(self.address)] = rlp.encode(account)
        self.state[keccak(b"\x01" * 20)] = rlp.encode([b"", b"\x07", bytes(32), keccak(b"")])
        self.header = self._make_header()

    @property
    def block_hash(self) -> Hash:
        return bytes.fromhex(self.header["hash"][2:])

    def eth_getBlockByHash(self, block_hash: str, full: bool) -> Any:
        return self.header if block_hash == self.header["hash"] else None

    def eth_getCode(self, address: str, tag: str) -> str:
        return wire.encode_bytes(self.code)

    def eth_getProof(self, address: str, slots: list[str], tag: str) -> dict[str, Any]:
        assert all(len(slot) == 66 for slot in slots), "some clients refuse shorter words"
        return {
            "accountProof": encode_nodes(self.state.get_proof(keccak(bytes.fromhex(address[2:])))),
            "storageProof": [
                {"key": slot, "proof": encode_nodes(self.storage.get_proof(keccak(bytes.fromhex(slot[2:]))))}
                for slot in slots
            ],
        }

    def _set_slot(self, slot: int, value: int) -> None:
        if value:
            self.storage[keccak(slot.to_bytes(32, "big"))] = rlp.encode(value)

    def _make_header(self) -> dict[str, Any]:
        fields = {
            "parentHash": bytes(32), "sha3Uncles": bytes(32), "miner": bytes(20), "stateRoot": self.state.root_hash,
            "transactionsRoot": bytes(32), "receiptsRoot": bytes(32), "logsBloom": bytes(256), "difficulty": 0,
            "number": self.block_number, "gasLimit": 30_000_000, "gasUsed": 21_000, "timestamp": self.now,
            "extraData": b"test", "mixHash": bytes(32), "nonce": bytes(8), "baseFeePerGas": 7,
            "withdrawalsRoot": bytes(32), "blobGasUsed": 0, "excessBlobGas": 0, "parentBeaconBlockRoot": bytes(32),
            "requestsHash": bytes(32),
        }  # fmt: skip
        form = {name: hex(value) if isinstance(value, int) else "0x" + value.hex() for name, value in fields.items()}
        return {**form, "hash": "0x" + keccak(rlp.encode(list(fields.values()))).hex()}


def encode_nodes(nodes: Sequence[Any]) -> list[str]:
    return [wire.encode_bytes(rlp.encode(node)) for node in nodes]


def pack_struct(layout: dict[str, Any], label: str, values: dict[str, int]) -> int:
    """A struct of one slot, packed as the compiler says; members that are not given are zero."""
    kind = next(variable["type"] for variable in layout["storage"] if variable["label"] == label)
    offsets = {member["label"]: member["offset"] for member in layout["types"][kind]["members"]}
    return sum(value << 8 * offsets[name] for name, value in values.items())


def deploy_code(values: dict[str, bytes]) -> bytes:
    """The artifact's code with immutables filled in as the constructor would, by the views that return them."""
    template = load_artifact("Settlement").deployed_bytecode
    places = find_immutables(template)
    marked = bytearray(template)
    for number, place in enumerate(places, 1):
        marked[place : place + 32] = number.to_bytes(32, "big")
    code = bytearray(template)
    for view, value in values.items():
        number = int.from_bytes(run_view(bytes(marked), SETTLEMENT, keccak(view.encode())[:4]), "big")
        code[places[number - 1] : places[number - 1] + 32] = value.rjust(32, b"\0")
    return bytes(code)
