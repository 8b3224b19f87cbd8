"""A node's configuration as `tally deploy` writes it: complete, and with a word on what somebody may want to change."""

import json
from pathlib import Path
from typing import Final

import msgspec

from chain import wire
from chain.primitives import Address
from contracts.chains import find_chain

UNFINALISED_CONFIRMATIONS: Final = 64
"""L1 blocks, on a public chain whose client knows no `finalized` block: two of Ethereum's own epochs, which it takes to
finalise."""


class NodeSettings(msgspec.Struct, frozen=True):
    l1_url: str
    l1_chain_id: int
    settlement: Address
    has_finalized: bool
    """Whether the endpoint knows a `finalized` block."""
    max_fee_gwei: int
    daily_budget_gwei: int
    operator: tuple[Path, Path]
    """(keystore, password file)"""
    gas: tuple[Path, Path]
    escrow: tuple[Path, Path] | None = None
    storage_rates: tuple[tuple[Address, int], ...] = ()
    """(asset, base units for keeping one GiB for a day)"""


def encode_node_config(settings: NodeSettings, directory: Path) -> str:
    """TOML, for a file in `directory`: what lies below it is named by its relative path, so that the two can move
    together. (JSON's strings and numbers are TOML's, too.)"""
    chain = find_chain(settings.l1_chain_id)
    return f"""\
# A node's configuration, written by `tally deploy` for the contract below on {chain.name}.
# Relative paths are taken from this file's directory. What is commented out has the value shown.

# data_dir = "data"              # the ledger: back up its `journal`
# host = "127.0.0.1"
# port = 8645                    # JSON-RPC and explorer; put TLS before it
# epoch_seconds = 3600           # one commitment each

[ethereum]
# JSON-RPC endpoint. Often it holds a key: then keep this file to yourself.
url = {json.dumps(settings.l1_url)}
chain_id = {settings.l1_chain_id}
settlement = "{wire.encode_address(settings.settlement)}"
{_encode_confirmations(settings)}
# No commitment offers more than this for a gas, and all of any 24 hours together cost no more than the budget, in gwei
# (a thousand millionth of an ether). Above, commitments wait, and the node says so.
max_fee_gwei = {settings.max_fee_gwei}
daily_budget_gwei = {settings.daily_budget_gwei:_}

# Signs blocks and commitments; it is in the contract for ever.
[operator]
{_encode_key(settings.operator, directory)}
# Pays Ethereum for the commitments. Keep ether on it.
[gas]
{_encode_key(settings.gas, directory)}
{_encode_escrow(settings.escrow, directory)}
# The data exchange. Parameters of the ledger: as they are at the first start, they stay. Shares are hundredths of a
# percent of a price, and sum to 10,000.
[market]
# validator_share = 5000
# owner_share = 5000             # and what is left of a division
# commission = 0                 # for the service node that keeps the file

# Base units of an asset for keeping one GiB for a day; storage is paid for in these assets alone, so without any, files
# cannot be uploaded. The zero address is ether.
[market.storage_rates]
{_encode_rates(settings.storage_rates)}"""


def _encode_confirmations(settings: NodeSettings) -> str:
    if find_chain(settings.l1_chain_id).is_local:
        return "confirmations = 1                # nothing is taken back on a chain of one machine"
    if settings.has_finalized:
        return (
            "# What a block brings counts once the chain calls the block `finalized`. A number here counts blocks\n"
            "# instead, and trusts that so many are never taken back.\n"
            f"# confirmations = {UNFINALISED_CONFIRMATIONS}"
        )
    return (
        "# The endpoint knows no `finalized` block, so blocks are counted: so many must never be taken back.\n"
        f"confirmations = {UNFINALISED_CONFIRMATIONS}"
    )


def _encode_key(files: tuple[Path, Path], directory: Path) -> str:
    keystore, password_file = files
    return f"keystore = {_encode_path(keystore, directory)}\npassword_file = {_encode_path(password_file, directory)}\n"


def _encode_path(path: Path, directory: Path) -> str:
    return json.dumps(str(path.relative_to(directory) if path.is_relative_to(directory) else path))


def _encode_escrow(files: tuple[Path, Path] | None, directory: Path) -> str:
    if files is not None:
        return (
            "# Opens the file keys that listings bring. It stays the same for the ledger's life: back it up.\n"
            f"[escrow]\n{_encode_key(files, directory)}"
        )
    return (
        "# Opens the file keys that listings bring; without it, validators hand out the keys of their files\n"
        "# themselves. To be decided before the first start.\n"
        "# [escrow]\n"
        '# keystore = "escrow.json"\n'
        '# password_file = "password"\n'
    )


def _encode_rates(rates: tuple[tuple[Address, int], ...]) -> str:
    if not rates:
        return "# 0x0000000000000000000000000000000000000000 = 20_000_000_000_000\n"
    return "".join([f"{wire.encode_address(asset)} = {rate}\n" for asset, rate in rates])
