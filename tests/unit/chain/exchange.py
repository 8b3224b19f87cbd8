"""Who takes part in the tests of the data exchange, and short ways to write down what they do.

Alice and Erik are validators, Erik a mart and a service node, too; Bob is a mart, Carol an owner under Alice, Dora a
service node. Of each GiB and day a service node gets a million base units of TOKEN, and of each purchase a twentieth.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from coincurve import PrivateKey

from chain.block import Record
from chain.instruction import (
    INSTRUCTIONS,
    Delist,
    Instruction,
    ListFile,
    Register,
    RegisterOwner,
    SignedInstruction,
    UpdatePrice,
    compute_instruction_id,
)
from chain.market import File
from chain.params import Market, Parameters
from chain.payment import Payment, SignedPayment
from chain.primitives import Address, Hash
from chain.signatures import sign_digest
from chain.state import State
from chain.transition import list_asset, replay_record
from tests.unit.chain import actors
from tests.unit.chain.actors import (
    ALICE,
    BOB,
    CAROL,
    DOMAIN,
    ETHER,
    START_MS,
    TOKEN,
    deposit,
    get_address,
    make_key,
    make_payment,
    some_hash,
)

DORA_KEY, ERIK_KEY = make_key("dora"), make_key("erik")
DORA, ERIK = get_address(DORA_KEY), get_address(ERIK_KEY)
KEYS: Final = {**actors.KEYS, DORA: DORA_KEY, ERIK: ERIK_KEY}

MARKET: Final = Market(validator_share=5000, owner_share=4500, commission=500, storage_rates=((TOKEN, 10**6),))
PARAMETERS: Final = msgspec.structs.replace(actors.PARAMETERS, market=MARKET)
NOW_MS: Final = START_MS + 5000
NOW_S: Final = NOW_MS // 1000
DAY_MS: Final = 86_400_000

FILE, UNPAID, UNKNOWN = (some_hash(f"a file that is {what}") for what in ("uploaded", "not paid for", "not there"))
GIB: Final = 1 << 30
DAILY_CHARGE: Final = 10**6
STORAGE_DAYS: Final = 30
CHARGE: Final = STORAGE_DAYS * DAILY_CHARGE


def make_instruction(type_: str, /, **fields: Any) -> Any:
    """By Alice with nonce 0: a registration as a validator or, as an owner, under Erik; of FILE the listing, price or
    end; but for what is given."""
    given: dict[str, dict[str, Any]] = {
        "Register": {"role": "validator"},
        "RegisterOwner": {"validator": ERIK},
        "ListFile": {
            "file": FILE,
            "owner": CAROL,
            "asset": TOKEN,
            "price": 100,
            "size": GIB,
            "storage_days": STORAGE_DAYS,
            "content_hash": some_hash("content"),
            "name": "Rainfall 2025",
            "media_type": "text/csv",
            "tags": ("weather", "rain"),
            "description": "Daily, by station.",
            "key_hash": some_hash("the file key"),
            "sealed_key": bytes(range(81)),
        },
        "UpdatePrice": {"file": FILE, "price": 7},
        "Delist": {"file": FILE},
    }
    head = {"account": ALICE, "nonce": 0, "valid_until": 0}
    return INSTRUCTIONS[type_](**{**head, **given[type_], **fields})


def register(account: Address, role: str, nonce: int = 0) -> Register:
    return Register(account, nonce, 0, role)


def register_owner(account: Address, validator: Address, nonce: int = 0) -> RegisterOwner:
    return RegisterOwner(account, nonce, 0, validator)


def list_file(file: Hash = FILE, nonce: int = 0, **fields: Any) -> ListFile:
    listing: ListFile = make_instruction("ListFile", file=file, nonce=nonce, **fields)
    return listing


def update_price(price: int, nonce: int = 0, **fields: Any) -> UpdatePrice:
    instruction: UpdatePrice = make_instruction("UpdatePrice", price=price, nonce=nonce, **fields)
    return instruction


def delist(nonce: int = 0, **fields: Any) -> Delist:
    instruction: Delist = make_instruction("Delist", nonce=nonce, **fields)
    return instruction


def upload(file: Hash = FILE, nonce: int = 0, *, to: Address = DORA, amount: int = CHARGE, **fields: Any) -> Payment:
    """Alice pays Dora for keeping it."""
    return make_payment((to, amount), kind="upload", reference=file, nonce=nonce, **fields)


def purchase(file: Hash = FILE, nonce: int = 0, *outputs: tuple[Address, int], **fields: Any) -> Payment:
    """Bob buys it for 100, of which Alice, Carol and Dora have their shares, but for what is given."""
    shares = outputs or ((ALICE, 50), (CAROL, 45), (DORA, 5))
    return make_payment(*shares, kind="purchase", reference=file, nonce=nonce, **{"payer": BOB, **fields})


def extend(days: int, file: Hash = FILE, nonce: int = 0, *, to: Address = DORA, **fields: Any) -> Payment:
    """Alice pays Dora for some days more."""
    return make_payment((to, days * DAILY_CHARGE), kind="extend", reference=file, nonce=nonce, **fields)


def sign(order: Payment | Instruction, key: PrivateKey | None = None) -> SignedPayment | SignedInstruction:
    """By its payer or account, or by `key`. The structure is not looked at."""
    if isinstance(order, Payment):
        return actors.sign(order, key or KEYS[order.payer])
    instruction_id = compute_instruction_id(order, DOMAIN)
    return SignedInstruction(instruction_id, order, sign_digest(key or KEYS[order.account], instruction_id))


def sign_all(orders: Sequence[Payment | Instruction]) -> tuple[Record, ...]:
    return tuple(sign(order) for order in orders)


def play(state: State, *orders: Payment | Instruction, timestamp: int = NOW_MS) -> tuple[Record, ...]:
    """As the records of one block: each is checked and applied after the one before it."""
    records = sign_all(orders)
    for index in range(len(records)):
        replay_record(state, records, index, timestamp)
    return records


OPENING: Final = (
    register(ALICE, "validator", nonce=255),
    register(ERIK, "validator", nonce=253),
    register(ERIK, "mart", nonce=254),
    register(ERIK, "service_node", nonce=255),
    register(BOB, "mart", nonce=255),
    register(DORA, "service_node", nonce=255),
    register_owner(CAROL, ALICE, nonce=255),
    list_file(FILE, nonce=252),
    upload(FILE, nonce=253),
    list_file(UNPAID, nonce=254),
)
"""What has happened before a test begins; it leaves the nonces from 0 free."""


def make_empty_exchange(parameters: Parameters = PARAMETERS) -> State:
    """ETHER and TOKEN are listed, and everybody has a million times a million of both."""
    state = State(parameters)
    for asset in (ETHER, TOKEN):
        list_asset(state, asset)
        for index, account in enumerate((ALICE, BOB, CAROL, DORA, ERIK)):
            replay_record(state, [deposit(index, account, 10**12, asset)], 0, NOW_MS)
    return state


def make_exchange() -> State:
    """After `OPENING`: FILE is kept by Dora, UNPAID by its validator."""
    state = make_empty_exchange()
    play(state, *OPENING)
    return state


def change_file(state: State, file: Hash = FILE, **fields: Any) -> File:
    """Whatever the rules say."""
    changed = msgspec.structs.replace(state.files[file], **fields)
    state.put_file(changed)
    return changed
