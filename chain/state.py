"""What the ledger knows between two records: who has what, which nonces are used, and where the chain of blocks stands.

The state is the smallest that the rules need. Trees and statements, which only commitments need, are in `ledger`.
"""

from typing import Final

from chain.account import NonceWindow
from chain.errors import WrongRole
from chain.hashing import keccak
from chain.market import NO_ROLES, File, Roles
from chain.params import Parameters
from chain.primitives import Address, Hash

UNUSED_NONCES = NonceWindow()

ACCOUNT_ENTRY: Final = b"\x01"
FILE_ENTRY: Final = b"\x02"
"""The first byte of a key of the registry; see `chain.registry`."""


class State:
    """Mutable; only `chain.transition` writes to it, and the effects of `chain.kinds`, which it calls.

    Balances are kept per asset in the order of each account's first credit: that order is the order of leaf indexes,
    and no account is ever removed.
    """

    __slots__ = (
        "balances",
        "block_hash",
        "block_number",
        "credits",
        "debits",
        "deposit_counts",
        "epoch",
        "files",
        "last_cut_at",
        "nonces",
        "parameters",
        "purchases",
        "registry_changes",
        "roles",
        "timestamp",
        "totals",
    )

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters

        self.balances: dict[Address, dict[Address, int]] = {}
        """asset → account → base units; the keys are the listed assets, in the contract's order."""
        self.nonces: dict[Address, NonceWindow] = {}
        """Only accounts that have used one."""
        self.totals: dict[Address, int] = {}
        """asset → the sum of its balances: deposited − withdrawn."""
        self.deposit_counts: dict[Address, int] = {}
        """asset → deposits credited so far, which is also the index of the next."""

        self.roles: dict[Address, Roles] = {}
        """Only accounts that have one. Written through `put_roles`."""
        self.files: dict[Hash, File] = {}
        """All that were ever listed. Written through `put_file`."""
        self.purchases: dict[bytes, Hash] = {}
        """file ‖ buyer → id of the payment."""
        self.registry_changes: dict[bytes, None] = {}
        """Keys of the registry that the open epoch wrote to, in the order of its first writes."""

        self.epoch = 1
        """The open epoch."""
        self.debits: dict[Address, dict[Address, int]] = {}
        """asset → account → base units that payments took from it in the open epoch."""
        self.credits: dict[Address, dict[Address, int]] = {}
        """asset → account → base units that payments gave it in the open epoch."""
        self.last_cut_at = parameters.first_cut_at
        """Milliseconds."""

        self.block_number = 0
        self.block_hash: Hash = parameters.genesis_hash
        self.timestamp = 0
        """Milliseconds: of the last block."""

    @property
    def assets(self) -> tuple[Address, ...]:
        return tuple(self.balances)

    def get_balance(self, asset: Address, account: Address) -> int:
        """0 for an unlisted asset as for an unknown account."""
        return self.balances.get(asset, {}).get(account, 0)

    def get_nonces(self, account: Address) -> NonceWindow:
        return self.nonces.get(account, UNUSED_NONCES)

    def get_roles(self, account: Address) -> Roles:
        return self.roles.get(account, NO_ROLES)

    def check_role(self, account: Address, role: str) -> None:
        """Raises `WrongRole`."""
        roles = self.get_roles(account)
        if not roles.has(role):
            raise WrongRole(account, role, " ".join(roles.names) or "none")

    def put_roles(self, account: Address, roles: Roles) -> None:
        self.roles[account] = roles
        self.registry_changes[ACCOUNT_ENTRY + account] = None

    def put_file(self, file: File) -> None:
        self.files[file.id] = file
        self.registry_changes[FILE_ENTRY + file.id] = None

    def compute_fingerprint(self) -> Hash:
        """A hash of everything above: two states with the same fingerprint behave alike. Not part of the protocol."""
        parts = [
            repr(sorted(self.nonces.items())),
            repr([(asset, list(balances.items())) for asset, balances in self.balances.items()]),
            repr([sorted(amounts.items()) for amounts in self.debits.values()]),
            repr([sorted(amounts.items()) for amounts in self.credits.values()]),
            repr((list(self.roles.items()), list(self.files.items()), sorted(self.purchases.items()))),
            repr(list(self.registry_changes)),
            repr((self.totals, self.deposit_counts, self.epoch, self.last_cut_at)),
            repr((self.block_number, self.block_hash, self.timestamp)),
        ]
        return keccak("\n".join(parts).encode())
