"""The first start of a development network: keys, contracts, and money on both layers.

What dies half-way leaves keys and no `devnet.json`; the next start then deploys anew. The well-known accounts are sent
from once, to fund a key of our own, so that two networks can share one Ethereum, and users find the accounts' nonces
untouched ever after.
"""

import asyncio
import os
import secrets
from pathlib import Path
from typing import Final

import msgspec
from eth_account import Account
from eth_account.signers.local import LocalAccount

from chain.primitives import ETHER, Address
from chain.wire import encode_address
from devnet.settings import ACCOUNT_COUNT, MNEMONIC, DevnetOptions, DevnetProblem, Setup
from node.config import MarketConfig
from node.ethereum.deploy import (
    Call,
    Sender,
    SettlementParameters,
    deploy_settlement,
    deploy_test_token,
    make_approval,
    make_deposit_call,
    make_mint,
)
from node.ethereum.endpoint import Endpoint
from node.ethereum.faults import EthereumFault
from node.ethereum.gateway import decode_quantity

ROLES: Final = ("operator", "cold", "listing", "gas", "treasury", "escrow")
"""`treasury` deploys, mints and deposits; it pays for the set-up and is not needed afterwards. `escrow` opens file
keys, and pays for nothing."""

_UNIT: Final = 10**18
_TREASURY_FUNDS: Final = 2_000 * _UNIT
_KEY_FUNDS: Final = 50 * _UNIT
_ETHER_DEPOSIT: Final = 100 * _UNIT
_DEMO_ETHER_DEPOSIT: Final = 50 * _UNIT
_TOKENS: Final = 1_000_000 * _UNIT
_DEMO_ACCOUNTS: Final = 14
_FUNDING_ATTEMPTS: Final = 5
_YEAR: Final = 365 * 86_400

_ETHER_RATE: Final = 2**30
"""Base units for keeping one GiB for a day: one wei for a byte. At no higher rate is every amount the charge of some
size, and a development network should be able to show any amount; in ether it comes to next to nothing."""
_TOKEN_RATE: Final = 2**30 * 10**8
"""A hundred million base units for a byte and day. With 18 decimals that is an amount that people read: 0.0001 TOK for
a megabyte and day, 0.1 for a gigabyte. Both rates are whole for a byte, so that no charge is ever rounded here."""

_KEYSTORE_ROUNDS: Final = 1024
"""Of PBKDF2: weak, as the password lies beside the file, and quick to open."""


def derive_accounts() -> list[LocalAccount]:
    """m/44'/60'/0'/0/0–9."""
    Account.enable_unaudited_hdwallet_features()
    return [Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}") for index in range(ACCOUNT_COUNT)]


def open_keys(directory: Path) -> dict[str, LocalAccount]:
    """The network's own keys, made at the first start: `<role>.json` keystores and the password to all of them."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    password_file = directory / "password"
    if not password_file.exists():
        _write_secret(password_file, secrets.token_hex(16).encode())
    password = password_file.read_text()
    keys = {}
    for role in ROLES:
        path = directory / f"{role}.json"
        if not path.exists():
            keystore = Account.encrypt(secrets.token_bytes(32), password, kdf="pbkdf2", iterations=_KEYSTORE_ROUNDS)
            _write_secret(path, msgspec.json.encode(keystore))
        keys[role] = Account.from_key(Account.decrypt(msgspec.json.decode(path.read_bytes()), password))
    return keys


async def set_up(options: DevnetOptions, l1_url: str, keys: dict[str, LocalAccount]) -> Setup:
    """Deploys the contract and a test token, and deposits for the ten accounts and the demonstration's.

    Raises `EthereumFault` when the client does not answer, `Reverted` when a contract refuses.
    """
    endpoint = Endpoint(l1_url)
    try:
        chain_id = decode_quantity(await endpoint.call("eth_chainId", []))
        accounts = derive_accounts()
        await _fund(endpoint, accounts[-1], keys)
        treasury = Sender(endpoint, keys["treasury"])
        token = (await deploy_test_token(treasury)).address
        settlement = (await deploy_settlement(treasury, _make_parameters(options, keys), [ETHER, token])).address
        demo_keys = tuple([secrets.token_bytes(32) for _ in range(_DEMO_ACCOUNTS)])
        owners = [*accounts, *[Account.from_key(key) for key in demo_keys]]
        addresses = [bytes.fromhex(account.address[2:]) for account in owners]
        await _deposit(treasury, settlement, token, addresses)
        return Setup(chain_id, settlement, token, demo_keys, make_market(token))
    finally:
        await endpoint.close()


def make_market(token: Address) -> MarketConfig:
    """Half of a price to the validator, half to the owner, no commission; storage is paid for in ether or tokens."""
    return MarketConfig(
        validator_share=5_000,
        owner_share=5_000,
        commission=0,
        storage_rates={encode_address(ETHER): _ETHER_RATE, encode_address(token): _TOKEN_RATE},
    )


def _make_parameters(options: DevnetOptions, keys: dict[str, LocalAccount]) -> SettlementParameters:
    def get_address(role: str) -> Address:
        return bytes.fromhex(keys[role].address[2:])

    return SettlementParameters(
        operator=get_address("operator"),
        cold_key=get_address("cold"),
        listing_key=get_address("listing"),
        native_asset=ETHER,
        challenge_period=options.challenge_period,
        answer_period=options.challenge_period,
        follow_up=options.challenge_period,
        min_interval=0 if options.epoch_seconds == 1 else 1,
        # A development network may rest for weeks between two sessions; silence must not end it.
        max_silence=10 * _YEAR,
        listing_delay=0,
    )


async def _fund(endpoint: Endpoint, source: LocalAccount, keys: dict[str, LocalAccount]) -> None:
    """From account 9. Another network may be doing the same at this moment: who loses a nonce tries again."""
    calls = [
        Call(
            bytes.fromhex(account.address[2:]),
            value=_TREASURY_FUNDS if role == "treasury" else _KEY_FUNDS,
        )
        for role, account in keys.items()
        if role != "escrow"
    ]
    for attempt in range(1, _FUNDING_ATTEMPTS + 1):
        missing = [call for call in calls if await _get_balance(endpoint, call.to or b"") < call.value // 2]
        try:
            if missing:
                await Sender(endpoint, source, timeout_ms=30_000).send_all(missing)
            return
        except EthereumFault as fault:
            if attempt == _FUNDING_ATTEMPTS:
                raise DevnetProblem(f"the network's keys cannot be funded from account 9: {fault}") from fault
            await asyncio.sleep(attempt)


async def _get_balance(endpoint: Endpoint, account: Address) -> int:
    return decode_quantity(await endpoint.call("eth_getBalance", ["0x" + account.hex(), "latest"]))


async def _deposit(treasury: Sender, settlement: Address, token: Address, owners: list[Address]) -> None:
    """Ether and tokens on the ledger for all, the ten first, and tokens on L1 for those."""
    first = [make_mint(token, treasury.address, _TOKENS * len(owners))]
    first += [make_mint(token, owner, _TOKENS) for owner in owners[:ACCOUNT_COUNT]]
    first += [make_approval(token, settlement, _TOKENS * len(owners))]
    await treasury.send_all(first)
    deposits = [
        make_deposit_call(settlement, ETHER, owner, _ETHER_DEPOSIT if index < ACCOUNT_COUNT else _DEMO_ETHER_DEPOSIT)
        for index, owner in enumerate(owners)
    ]
    deposits += [make_deposit_call(settlement, token, owner, _TOKENS) for owner in owners]
    await treasury.send_all(deposits)


def _write_secret(path: Path, content: bytes) -> None:
    """Readable by the owner alone, from its first byte on."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
