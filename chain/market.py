"""The data exchange: who takes part, what is listed, and what is paid for it. Arithmetic only; the rules are in
`chain.kinds` and `chain.transition`.

All amounts are whole base units. Of a price, the validator and the service node get their shares rounded down, and the
owner the rest, so that nothing is lost or made. Storage is charged by the day, each day rounded up, so that an amount
says exactly how many days it pays for.
"""

from typing import Final, TypeAlias

import msgspec

from chain.errors import NoStorageRate
from chain.params import Market
from chain.primitives import SHARES, ZERO_ADDRESS, Address, Hash

VALIDATOR: Final = "validator"
MART: Final = "mart"
SERVICE_NODE: Final = "service_node"
OWNER: Final = "owner"

ROLE_BITS: Final = {VALIDATOR: 1, MART: 2, SERVICE_NODE: 4, OWNER: 8}
"""Role → its bit in what is committed of an account. Never reused."""

DAY_SECONDS: Final = 86_400
_GIB: Final = 1 << 30

Shares: TypeAlias = list[tuple[Address, int]]
"""(to, amount), as the outputs of a payment must be."""


class Roles(msgspec.Struct, frozen=True, gc=False):
    """The roles of one account."""

    bits: int = 0
    """The sum of its `ROLE_BITS`."""
    validator: Address = ZERO_ADDRESS
    """Whom an owner belongs to; zero for others."""
    is_named_only: bool = False
    """Whether the owner was named by that validator, with an upload, and has not signed for it. Until then the owner's
    own signature may choose another, so that nobody is held by a validator who was first to write an address down."""

    def has(self, role: str) -> bool:
        return bool(self.bits & ROLE_BITS[role])

    @property
    def names(self) -> list[str]:
        return [role for role, bit in ROLE_BITS.items() if self.bits & bit]


NO_ROLES: Final = Roles()


class File(msgspec.Struct, frozen=True, gc=False):
    """What the rules know of a listed file. Its name, tags and hashes are in the instruction that listed it."""

    id: Hash
    validator: Address
    owner: Address
    asset: Address
    price: int
    size: int
    """Bytes."""
    storage_days: int
    """What the upload pays for."""
    keep_until: int
    """Unix seconds."""
    service_node: Address
    """Who is paid for keeping it; zero until the upload is paid."""
    listing: Hash
    """Id of the instruction that listed it."""
    is_delisted: bool = False


def compute_shares(file: File, market: Market) -> Shares:
    """What a purchase pays, in this order; see `compute_named_shares`."""
    return [(to, amount) for _, to, amount in compute_named_shares(file, market)]


def compute_named_shares(file: File, market: Market) -> list[tuple[str, Address, int]]:
    """(role, to, amount) of validator, owner, service node, in this order; a share of zero is left out. A file that no
    service node keeps has no commission: its share falls to the owner."""
    price = file.price
    validator = price * market.validator_share // SHARES
    commission = price * market.commission // SHARES if file.service_node != ZERO_ADDRESS else 0
    shares = (
        (VALIDATOR, file.validator, validator),
        (OWNER, file.owner, price - validator - commission),
        (SERVICE_NODE, file.service_node, commission),
    )
    return [share for share in shares if share[2]]


def compute_daily_charge(size: int, asset: Address, market: Market) -> int:
    """Base units for keeping `size` bytes for a day, rounded up. Raises `NoStorageRate`."""
    rate = market.get_storage_rate(asset)
    if rate is None:
        raise NoStorageRate(asset)
    return -(-size * rate // _GIB)


def compute_storage_charge(size: int, days: int, asset: Address, market: Market) -> int:
    """Base units for keeping `size` bytes for `days`. Raises `NoStorageRate`."""
    return days * compute_daily_charge(size, asset, market)


def encode_purchase_key(file: Hash, buyer: Address) -> bytes:
    """52 bytes: file 32 ‖ buyer 20."""
    return file + buyer
