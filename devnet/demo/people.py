"""Who plays: the demonstration's accounts, and the part that each of them takes."""

from collections.abc import Sequence
from typing import Final

import msgspec
from coincurve import PrivateKey

from chain.market import MART, OWNER, SERVICE_NODE, VALIDATOR
from chain.primitives import Address
from chain.signatures import compute_address

_PARTS: Final = (
    VALIDATOR,
    SERVICE_NODE,
    MART,
    OWNER,
    OWNER,
    MART,
    VALIDATOR,
    OWNER,
    SERVICE_NODE,
    OWNER,
    MART,
    VALIDATOR,
    OWNER,
    None,
)
"""In the order of the accounts: any four or more of them make a market. The last has no role, and pays like anybody."""

MIN_PEOPLE: Final = 4


class Person(msgspec.Struct, frozen=True):
    key: PrivateKey
    address: Address
    role: str | None
    validator: Address | None = None
    """Whom an owner belongs to."""
    is_named_only: bool = False
    """An owner who never signs: its validator names it with a first upload."""


class Cast(msgspec.Struct, frozen=True):
    """All who play, in the order in which they come."""

    people: tuple[Person, ...]

    @property
    def validators(self) -> list[Person]:
        return self._get(VALIDATOR)

    @property
    def service_nodes(self) -> list[Person]:
        return self._get(SERVICE_NODE)

    @property
    def marts(self) -> list[Person]:
        return self._get(MART)

    def get_owners(self, validator: Person) -> list[Person]:
        return [owner for owner in self._get(OWNER) if owner.validator == validator.address]

    def _get(self, role: str) -> list[Person]:
        return [person for person in self.people if person.role == role]


def make_cast(private_keys: Sequence[bytes]) -> Cast:
    """The same keys take the same parts at every start. Raises ValueError for fewer than `MIN_PEOPLE`."""
    if len(private_keys) < MIN_PEOPLE:
        raise ValueError(f"a market takes {MIN_PEOPLE} accounts, here are {len(private_keys)}")
    keys = [PrivateKey(key) for key in private_keys]
    addresses = [compute_address(key.public_key) for key in keys]
    roles = [_PARTS[index] if index < len(_PARTS) else None for index in range(len(keys))]
    validators = [address for address, role in zip(addresses, roles, strict=True) if role == VALIDATOR]
    people = []
    owner_count = 0
    for key, address, role in zip(keys, addresses, roles, strict=True):
        if role != OWNER:
            people.append(Person(key, address, role))
            continue
        # Turn by turn; from the second turn on, owners are named by their validators.
        turn, place = divmod(owner_count, len(validators))
        people.append(Person(key, address, role, validators[place], is_named_only=turn > 0))
        owner_count += 1
    return Cast(tuple(people))
