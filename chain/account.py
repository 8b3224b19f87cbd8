"""Accounts: the window of nonces, and the leaf that a commitment holds for an account in one asset."""

from typing import Final

import msgspec

from chain.encoding import Reader
from chain.hashing import ACCOUNT_LEAF, keccak
from chain.primitives import MAX_U128, NONCE_WINDOW, Address, Hash

ACCOUNT_LEAF_SIZE: Final = 208


class NonceWindow(msgspec.Struct, frozen=True, gc=False):
    """Which nonces an account has used: all below `base`, and base + k for every bit k of `used`.

    Bit 0 is always clear, because the base slides over used nonces.
    """

    base: int = 0
    used: int = 0

    def is_used(self, nonce: int) -> bool:
        distance = nonce - self.base
        return distance < 0 or (distance < NONCE_WINDOW and bool(self.used >> distance & 1))

    @property
    def next_nonce(self) -> int:
        """One above the highest used nonce."""
        return self.base + self.used.bit_length()

    @property
    def limit(self) -> int:
        """The first nonce that lies beyond the window."""
        return self.base + NONCE_WINDOW

    def use(self, nonce: int) -> "NonceWindow":
        """The window with `nonce`, free and within it, used."""
        distance = nonce - self.base
        if distance == 0 and not self.used:
            return NonceWindow(nonce + 1, 0)
        used = self.used | 1 << distance
        slide = (~used & used + 1).bit_length() - 1  # the number of consecutive set bits from bit 0
        return NonceWindow(self.base + slide, used >> slide)

    def covers(self, earlier: "NonceWindow") -> bool:
        """Whether every nonce used in `earlier` is used here, and the base has not gone back."""
        distance = self.base - earlier.base
        return distance >= 0 and not (earlier.used >> distance) & ~self.used


class AccountLeaf(msgspec.Struct, frozen=True):
    """An account's state in one asset at the end of an epoch. Amounts in base units."""

    asset: Address
    owner: Address
    epoch: int
    """The last epoch in which this leaf changed."""
    nonces: NonceWindow
    """The account's window, all assets together, at the end of that epoch."""
    opening: int
    debits: int
    credits: int
    debit_count: int
    credit_count: int
    debits_root: Hash
    credits_root: Hash

    @property
    def closing(self) -> int:
        return self.opening + self.credits - self.debits


def encode_account_leaf(leaf: AccountLeaf) -> bytes:
    """208 bytes: asset 20 ‖ owner 20 ‖ epoch u64 ‖ nonce base u64 ‖ nonce map u256 ‖ opening u128 ‖ debits u128 ‖
    credits u128 ‖ debit count u32 ‖ credit count u32 ‖ debits root 32 ‖ credits root 32."""
    return b"".join(
        (
            leaf.asset,
            leaf.owner,
            leaf.epoch.to_bytes(8, "big"),
            leaf.nonces.base.to_bytes(8, "big"),
            leaf.nonces.used.to_bytes(32, "big"),
            leaf.opening.to_bytes(16, "big"),
            leaf.debits.to_bytes(16, "big"),
            leaf.credits.to_bytes(16, "big"),
            leaf.debit_count.to_bytes(4, "big"),
            leaf.credit_count.to_bytes(4, "big"),
            leaf.debits_root,
            leaf.credits_root,
        )
    )


def decode_account_leaf(data: bytes) -> AccountLeaf:
    """Inverse of `encode_account_leaf`. Raises `MalformedBytes` for any other length."""
    reader = Reader(data)
    leaf = AccountLeaf(
        asset=reader.take(20),
        owner=reader.take(20),
        epoch=reader.take_uint(8),
        nonces=NonceWindow(reader.take_uint(8), reader.take_uint(32)),
        opening=reader.take_uint(16),
        debits=reader.take_uint(16),
        credits=reader.take_uint(16),
        debit_count=reader.take_uint(4),
        credit_count=reader.take_uint(4),
        debits_root=reader.take(32),
        credits_root=reader.take(32),
    )
    reader.finish()
    return leaf


def hash_account_leaf(leaf: bytes) -> Hash:
    """The leaf's hash in the state tree of its asset: H(0x82 ‖ the 208 bytes)."""
    return keccak(ACCOUNT_LEAF + leaf)


def is_leaf_sound(leaf: AccountLeaf) -> bool:
    """What holds for every honest leaf by itself: bit 0 of the map is clear, the closing balance is a u128, and a side
    without entries has root and sum zero."""
    return (
        not leaf.nonces.used & 1
        and 0 <= leaf.closing <= MAX_U128
        and _is_side_sound(leaf.debit_count, leaf.debits, leaf.debits_root)
        and _is_side_sound(leaf.credit_count, leaf.credits, leaf.credits_root)
    )


def continues(later: AccountLeaf, later_epoch: int, earlier: AccountLeaf, earlier_epoch: int) -> bool:
    """Whether `later`, committed in `later_epoch`, is an honest successor of `earlier`, committed in `earlier_epoch` at
    the same index; `earlier_epoch` < `later_epoch`.

    Same asset and owner; unchanged byte for byte if it says that nothing happened since; opening where the earlier one
    closed if it changed in the very next epoch; and never a used nonce forgotten, nor a change in an epoch to come.
    """
    if (later.asset, later.owner) != (earlier.asset, earlier.owner):
        return False
    if later.epoch > later_epoch or not later.nonces.covers(earlier.nonces):
        return False
    if later.epoch <= earlier_epoch:
        return later == earlier
    if later.epoch == earlier_epoch + 1:
        return later.opening == earlier.closing
    return True


def _is_side_sound(count: int, total: int, root: Hash) -> bool:
    return count > 0 or (total == 0 and not any(root))
