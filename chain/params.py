"""What is fixed when a ledger begins: its parameters, the domain that signatures are bound to, where block 1 hangs."""

from functools import cached_property
from typing import Any, Final

import msgspec

from chain.encoding import encode_address_word, encode_canonical_json, encode_u64, encode_u256
from chain.hashing import GENESIS, keccak
from chain.primitives import MAX_ASSETS, MAX_U64, SHARES, Address, Hash

DOMAIN_NAME: Final = "Tallystick"
DOMAIN_VERSION: Final = "1"

_DOMAIN_TYPE_HASH: Final = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_LEDGER_CHAIN_ID_BASE: Final = 2**40
"""Above every chain id in use, so that a ledger's signatures never fit a chain that wallets already know."""


def compute_ledger_chain_id(l1_chain_id: int, settlement: Address) -> int:
    """2^40 + the first 5 bytes of H(L1 chain id u256 ‖ Settlement address): one number for one deployment."""
    return _LEDGER_CHAIN_ID_BASE + int.from_bytes(keccak(encode_u256(l1_chain_id) + settlement)[:5], "big")


class Domain(msgspec.Struct, frozen=True, dict=True):
    """The EIP-712 domain of one deployment: nothing signed for it fits another."""

    chain_id: int
    verifying_contract: Address

    @classmethod
    def of(cls, l1_chain_id: int, settlement: Address) -> "Domain":
        return cls(compute_ledger_chain_id(l1_chain_id, settlement), settlement)

    @cached_property
    def separator(self) -> Hash:
        return keccak(
            _DOMAIN_TYPE_HASH
            + keccak(DOMAIN_NAME.encode())
            + keccak(DOMAIN_VERSION.encode())
            + encode_u256(self.chain_id)
            + encode_address_word(self.verifying_contract)
        )

    @cached_property
    def prefix(self) -> bytes:
        """34 bytes: 0x1901 ‖ separator, the beginning of every EIP-712 digest of this domain."""
        return b"\x19\x01" + self.separator

    def compute_digest(self, struct_hash: Hash) -> Hash:
        """The EIP-712 digest of a message whose struct hash is given: what is signed."""
        return keccak(self.prefix + struct_hash)


class Market(msgspec.Struct, frozen=True):
    """What the data exchange pays to whom: chain parameters. Shares are hundredths of a percent of a price."""

    validator_share: int = 5_000
    owner_share: int = 5_000
    """And what is left of a division."""
    commission: int = 0
    """The share of the service node that keeps the file."""
    storage_rates: tuple[tuple[Address, int], ...] = ()
    """(asset, base units for one GiB and day), ascending by asset. In other assets no storage is paid for."""

    def check(self) -> None:
        """Raises ValueError unless the shares are from 0 to 10,000 and sum to it, and the rates from 1 to 2^64 − 1, at
        most one for each of at most 32 assets, in order."""
        shares = self.validator_share, self.owner_share, self.commission
        if not all(0 <= share <= SHARES for share in shares):
            raise ValueError(f"a share is from 0 to {SHARES} hundredths of a percent")
        if sum(shares) != SHARES:
            raise ValueError(
                f"validator_share, owner_share and commission sum to {sum(shares)} hundredths of a percent, they must "
                f"sum to {SHARES}"
            )
        assets = [asset for asset, _ in self.storage_rates]
        if assets != sorted(set(assets)) or len(assets) > MAX_ASSETS:
            raise ValueError(f"storage rates are of at most {MAX_ASSETS} assets, one each, in ascending order")
        if not all(1 <= rate <= MAX_U64 for _, rate in self.storage_rates):
            raise ValueError("a storage rate is from 1 to 2^64 - 1 base units for a GiB and day")

    def get_storage_rate(self, asset: Address) -> int | None:
        return next((rate for rated, rate in self.storage_rates if rated == asset), None)


class Parameters(msgspec.Struct, frozen=True, dict=True):
    """The chain parameters. Block 1 commits to them, so changing one is beginning another ledger."""

    l1_chain_id: int
    settlement: Address
    native_asset: Address
    """The asset that Ethereum-form payments move by `value`."""

    deployed_at: int
    """Unix seconds: the time of the L1 block that holds the contract's creation, from which the first epoch counts."""

    market: Market = Market()

    @cached_property
    def domain(self) -> Domain:
        return Domain.of(self.l1_chain_id, self.settlement)

    @property
    def first_cut_at(self) -> int:
        """Milliseconds: the `cutAt` of "epoch 0", which every block of epoch 1 is later than."""
        return self.deployed_at * 1000

    def to_json(self) -> dict[str, Any]:
        """The form that is hashed and published; integers are decimal strings, addresses lower-case hex."""
        market = self.market
        return {
            "commission": str(market.commission),
            "deployedAt": str(self.deployed_at),
            "l1ChainId": str(self.l1_chain_id),
            "nativeAsset": "0x" + self.native_asset.hex(),
            "ownerShare": str(market.owner_share),
            "protocol": "1",
            "settlement": "0x" + self.settlement.hex(),
            "storageRates": {"0x" + asset.hex(): str(rate) for asset, rate in market.storage_rates},
            "validatorShare": str(market.validator_share),
        }

    @cached_property
    def genesis_hash(self) -> Hash:
        """What block 1 names as its previous: H(0x8a ‖ ledger chain id u64 ‖ H(parameters as canonical JSON))."""
        return keccak(GENESIS + encode_u64(self.domain.chain_id) + keccak(encode_canonical_json(self.to_json())))
