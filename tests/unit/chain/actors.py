"""Who takes part in the tests of the rules: keys, a deployment, and short ways to write down what people do."""

from typing import Any, Final

from coincurve import PrivateKey, PublicKey

from chain.block import Block, Deposit, Header, Record, build_records_tree, make_deposit
from chain.commitment import AssetCommitment
from chain.hashing import keccak
from chain.ledger import Ledger
from chain.params import Parameters
from chain.payment import Output, Payment, SignedPayment, compute_payment_id
from chain.primitives import ZERO_HASH, Address
from chain.signatures import compute_address, sign_digest
from chain.state import State
from chain.transition import apply_deposit, check_deposit, list_asset


def make_key(name: str) -> PrivateKey:
    return PrivateKey(keccak(f"key of {name}".encode()))


def get_address(key: PrivateKey) -> Address:
    return compute_address(PublicKey.from_secret(key.secret))


ALICE_KEY, BOB_KEY, CAROL_KEY, OPERATOR_KEY = (make_key(name) for name in ("alice", "bob", "carol", "operator"))
ALICE, BOB, CAROL, OPERATOR = (get_address(key) for key in (ALICE_KEY, BOB_KEY, CAROL_KEY, OPERATOR_KEY))
KEYS: Final = {get_address(key): key for key in (ALICE_KEY, BOB_KEY, CAROL_KEY, OPERATOR_KEY)}

ETHER: Final = bytes(20)
TOKEN: Final = b"\x7e" * 20
UNLISTED: Final = b"\x66" * 20

PARAMETERS: Final = Parameters(
    l1_chain_id=31337, settlement=b"\x5e" * 20, native_asset=ETHER, deployed_at=1_800_000_000
)
DOMAIN: Final = PARAMETERS.domain
START_MS: Final = PARAMETERS.first_cut_at


def some_hash(text: str) -> bytes:
    return keccak(text.encode())


def make_payment(*outputs: tuple[Address, int], **fields: Any) -> Payment:
    """Alice pays Bob 1 TOKEN with nonce 0, but for what is given."""
    given = {
        "asset": TOKEN,
        "payer": ALICE,
        "nonce": 0,
        "valid_until": 0,
        "kind": "transfer",
        "reference": ZERO_HASH,
        "memo": "",
        "outputs": tuple(Output(*output) for output in outputs or ((BOB, 1),)),
    }
    return Payment(**{**given, **fields})


def sign(payment: Payment, key: PrivateKey | None = None) -> SignedPayment:
    """By its payer, or by `key`. The structure is not looked at."""
    payment_id = compute_payment_id(payment, DOMAIN)
    return SignedPayment(payment_id, payment, sign_digest(key or KEYS[payment.payer], payment_id))


def deposit(index: int, account: Address = ALICE, amount: int = 1000, asset: Address = TOKEN) -> Deposit:
    return make_deposit(asset, index, account, amount, 7, some_hash("L1 block"), some_hash(f"L1 transaction {index}"))


def make_state(*deposits: Deposit) -> State:
    """ETHER and TOKEN are listed, and the deposits credited."""
    state = State(PARAMETERS)
    for asset in (ETHER, TOKEN):
        list_asset(state, asset)
    for record in deposits:
        check_deposit(state, record)
        apply_deposit(state, record)
    return state


def make_block(ledger: Ledger, *records: Record, **fields: Any) -> Block:
    """The block that would come next, 10 ms after the last one or the last cut, but for what is given of its header."""
    state = ledger.state
    given = {
        "number": state.block_number + 1,
        "previous": state.block_hash,
        "timestamp": max(state.timestamp, state.last_cut_at) + 10,
        "records_root": build_records_tree(records).root,
        "record_count": len(records),
    }
    return Block(Header(**{**given, **fields}), records)


def make_ledger(*records: Record, is_auditing: bool = True) -> Ledger:
    """ETHER and TOKEN are listed; the records, if any, stand in block 1."""
    ledger = Ledger(PARAMETERS, is_auditing=is_auditing)
    for asset in (ETHER, TOKEN):
        ledger.list_asset(asset)
    if records:
        ledger.apply_block(make_block(ledger, *records))
    return ledger


def make_empty_line(asset: Address) -> AssetCommitment:
    """The line of an asset in which nothing has happened yet: all zeros."""
    return AssetCommitment(asset, ZERO_HASH, 0, 0, 0, 0, ZERO_HASH, 0, 0)
