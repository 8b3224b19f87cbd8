"""Options that many commands share, and what they stand for: nodes, endpoints, keys, ledgers, assets, amounts."""

import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from chain import wire
from chain.errors import MalformedRequest
from chain.primitives import ETHER, MAX_U64, ZERO_HASH, Address, Hash
from client.amounts import MalformedAmount, parse_amount, parse_base_units
from client.cli.exits import BadUsage
from client.cli.output import note, warn
from client.errors import ClientError, WrongLedger
from client.json_text import parse_json
from client.keys import KeyProblem, Keystore, SigningKey, parse_private_key
from client.ledgers import FROM_CONTRACT, FROM_NODE, Ledger, LedgerBook, check_info
from client.node import Node
from client.protocol import Asset, NodeInfo
from client.receipts import ReceiptStore
from client.settlement import Ethereum, Facts, SettlementReader
from client.wallet import Wallet

DEFAULT_NODE_URL: Final = "http://127.0.0.1:8645"
DEFAULT_L1_URL: Final = "http://127.0.0.1:8545"

NodeUrl = Annotated[str, typer.Option("--node-url", envvar="TALLY_NODE_URL", help="The node's address.")]
L1Url = Annotated[str, typer.Option("--l1-url", envvar="TALLY_L1_URL", help="JSON-RPC endpoint of Ethereum.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output, for programs.")]
Settlement = Annotated[
    str | None,
    typer.Option("--settlement", envvar="TALLY_SETTLEMENT", help="Address of the contract; pins which one is meant."),
]
KeysDir = Annotated[
    Path | None, typer.Option("--keys-dir", envvar="TALLY_KEYS_DIR", help="Where keystores are. [~/.tallystick/keys]")
]
Key = Annotated[
    str | None,
    typer.Option("--key", envvar="TALLY_KEY", help="Name or address of the key to use, out of `tally keys`."),
]
PrivateKey = Annotated[
    str | None,
    typer.Option(
        "--private-key",
        envvar="TALLY_PRIVATE_KEY",
        help="A private key in hex instead. Other users of this machine can see arguments: for development only.",
        show_default=False,
    ),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option("--password-file", help="File with the keystore's password; else TALLY_PASSWORD, else a prompt."),
]
AssetName = Annotated[
    str | None,
    typer.Option("--asset", envvar="TALLY_ASSET", help=r"Symbol, address, or `ether`. \[the ledger's native asset]"),
]
BaseUnits = Annotated[bool, typer.Option("--base-units", help="The amount is in base units of the asset.")]
Memo = Annotated[str, typer.Option("--memo", help="At most 256 bytes of text.")]
Reference = Annotated[str | None, typer.Option("--reference", help="32 bytes in hex that name what is paid for.")]
ValidUntil = Annotated[
    str | None,
    typer.Option("--valid-until", help="Unix seconds, or +SECONDS from now; after it the payment is refused."),
]


# --- keys and people


def load_key(key: str | None, private_key: str | None, keys_dir: Path | None, password_file: Path | None) -> SigningKey:
    """The key to sign with. Raises `KeyProblem` or `BadUsage`."""
    if private_key is not None:
        if key is not None and os.environ.get("TALLY_PRIVATE_KEY") != private_key:
            raise BadUsage("either --key or --private-key")
        if key is None:
            return parse_private_key(private_key)
    keystore = Keystore(keys_dir)
    name = key if key is not None else choose_only_key(keystore)
    keystore.find(name)  # before a password is asked for
    return keystore.load(name, read_password(password_file, f"Password of key {name}"))


def find_address(who: str | None, key: str | None, private_key: str | None, keys_dir: Path | None) -> Address:
    """Whom a command is about: an address, a key's name, or the key that would sign. Opens no keystore."""
    if who is not None:
        return parse_recipient(who, keys_dir)
    if key is None and private_key is not None:
        return parse_private_key(private_key).address
    keystore = Keystore(keys_dir)
    return keystore.find(key if key is not None else choose_only_key(keystore)).address


def choose_only_key(keystore: Keystore) -> str:
    keys = keystore.get_all()
    if len(keys) == 1:
        return keys[0].name
    if not keys:
        raise KeyProblem(f"there is no key in {keystore.directory}: make one with `tally keys new NAME`")
    raise BadUsage("which key? --key with one of: " + " ".join([stored.name for stored in keys]))


def parse_recipient(text: str, keys_dir: Path | None) -> Address:
    """An address, or the name of one of one's own keys."""
    if text[:2] in ("0x", "0X"):
        return parse_address(text, "the address")
    return Keystore(keys_dir).find(text).address


def parse_address(text: str, what: str) -> Address:
    """Any one case, or mixed with the right checksum (EIP-55). Raises `BadUsage`."""
    try:
        address = wire.decode_address(text, what)
    except MalformedRequest as error:
        raise BadUsage(str(error)) from error
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and "0x" + digits != wire.encode_address(address):
        raise BadUsage(f"{what}: {text} has a wrong checksum; is there a typing error in it?")
    return address


def read_password(password_file: Path | None, prompt: str, *, is_new: bool = False) -> str:
    """From the file, `TALLY_PASSWORD`, or a prompt; the last only where there is somebody to ask."""
    if password_file is not None:
        try:
            return password_file.read_text().rstrip("\r\n")
        except OSError as error:
            raise BadUsage(f"{password_file}: {error.strerror}") from error
    password = os.environ.get("TALLY_PASSWORD")
    if password is not None:
        return password
    if not sys.stdin.isatty():
        raise BadUsage("no password: give --password-file or TALLY_PASSWORD")
    return str(typer.prompt(prompt, hide_input=True, confirmation_prompt=is_new, err=True))


# --- ledgers


def contact(node: Node, l1_url: str, settlement: str | None) -> tuple[NodeInfo, Ledger]:
    """What the node says of itself, and the ledger that it must be: as pinned, or pinned now.

    Raises `WrongLedger` when the node is of another ledger or names another operator.
    """
    info = node.get_info()
    if settlement is not None and info.domain.verifying_contract != parse_address(settlement, "--settlement"):
        served = wire.encode_address(info.domain.verifying_contract)
        raise WrongLedger(f"the node serves contract {served}, not {settlement}")
    book = LedgerBook()
    ledger = book.find(info.domain.chain_id)
    if ledger is None or ledger.source == FROM_NODE:
        facts = _ask_contract(l1_url, info)
        if facts is not None:
            last_cut_at, parameters = (ledger.last_cut_at, ledger.parameters) if ledger else (0, None)
            operator, source = facts.operator, FROM_CONTRACT
            ledger = Ledger(info.parameters.l1_chain_id, facts.settlement, operator, source, last_cut_at, parameters)
            book.pin(ledger)
        elif ledger is None:
            ledger = Ledger(info.parameters.l1_chain_id, info.domain.verifying_contract, info.operator, FROM_NODE)
            book.pin(ledger)
            warn(
                "Ethereum could not be asked for this ledger's operator; the node's word is pinned: "
                f"{wire.encode_address(info.operator)}"
            )
    check_info(info, ledger)
    if ledger.parameters is None:
        ledger = msgspec.structs.replace(ledger, parameters=info.parameters)
        book.pin(ledger)
    return info, ledger


def _ask_contract(l1_url: str, info: NodeInfo) -> Facts | None:
    """None if that endpoint does not answer, or serves another chain."""
    ethereum = Ethereum.at(l1_url, timeout_s=5.0, attempts=1)
    try:
        if ethereum.get_chain_id() != info.parameters.l1_chain_id:
            return None
        return SettlementReader(ethereum, info.domain.verifying_contract).read_facts()
    except ClientError as error:
        note(f"Ethereum: {error}")
        return None
    finally:
        ethereum.close()


def open_wallet(node: Node, key: SigningKey, ledger: Ledger) -> Wallet:
    return Wallet(node, key, ledger, ReceiptStore(ledger.domain.chain_id), clock=time.time)


# --- assets and amounts


def choose_asset(name: str | None, assets: Sequence[Asset]) -> Asset:
    """Raises `BadUsage` for a name that fits none, or more than one."""
    if not assets:
        raise BadUsage("the ledger has no assets yet")
    if name is None:
        return next((asset for asset in assets if asset.is_native), assets[0])
    if name[:2] in ("0x", "0X"):
        address: Address | None = parse_address(name, "--asset")
    else:
        address = ETHER if name.lower() == "ether" else None
    found = [
        asset
        for asset in assets
        if (asset.address == address if address is not None else asset.symbol.lower() == name.lower())
    ]
    if len(found) == 1:
        return found[0]
    known = ", ".join([f"{asset.symbol} ({wire.encode_address(asset.address)})" for asset in assets])
    raise BadUsage(f"--asset {name} fits {'none' if not found else 'more than one'} of: {known}")


def read_amount(text: str, asset: Asset, *, is_base_units: bool) -> int:
    """Base units, above zero. Raises `BadUsage`."""
    try:
        if is_base_units:
            amount = parse_base_units(text)
        elif asset.decimals is None:
            raise BadUsage(f"the decimals of {asset.symbol} are not known: give the amount with --base-units")
        else:
            amount = parse_amount(text, asset.decimals)
    except MalformedAmount as error:
        raise BadUsage(str(error)) from error
    if amount == 0:
        raise BadUsage("the amount is zero")
    return amount


def parse_hash(text: str, what: str) -> Hash:
    try:
        return wire.decode_hash(text, what)
    except MalformedRequest as error:
        raise BadUsage(str(error)) from error


def parse_epoch(text: str, what: str = "EPOCH") -> int:
    try:
        return wire.decode_quantity(text, what, MAX_U64)
    except MalformedRequest as error:
        raise BadUsage(str(error)) from error


def parse_payment_id(text: str) -> Hash:
    """An id, or the id of the receipt in a file."""
    if text[:2] in ("0x", "0X"):
        return parse_hash(text, "ID")
    try:
        form = parse_json(Path(text).read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise BadUsage(f"{text}: neither 0x and 64 hex digits, nor a file with a receipt") from error
    named = form.get("id") if isinstance(form, dict) else None
    if not isinstance(named, str):
        raise BadUsage(f"{text}: there is no receipt in that file")
    return parse_hash(named, f"{text}: id")


def parse_reference(text: str | None) -> Hash:
    return ZERO_HASH if text is None else parse_hash(text, "--reference")


def parse_moment(text: str | None, what: str, *, is_end: bool = False) -> int | None:
    """Unix seconds, from those or from `2026-11-25` or `2026-11-25T13:45:00` in UTC. A day begins with its first second
    and ends, with `is_end`, with its last. Raises `BadUsage`."""
    if text is None:
        return None
    if text.isascii() and text.isdecimal() and len(text) <= 12:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadUsage(f"{what}: Unix seconds, or a time such as 2026-11-25 or 2026-11-25T13:45:00 (UTC)") from error
    seconds = int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())
    if seconds < 0:
        raise BadUsage(f"{what}: {text} is before 1970")
    is_day = len(text) <= 10
    return seconds + 86_399 if is_end and is_day else seconds


def parse_valid_until(text: str | None, now_s: int) -> int:
    """Unix seconds; 0 for no limit. Raises `BadUsage`, also for a time that has passed."""
    if text is None:
        return 0
    digits = text[1:] if text.startswith("+") else text
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 20:
        raise BadUsage("--valid-until: Unix seconds, or +SECONDS from now")
    moment = int(digits) + (now_s if text.startswith("+") else 0)
    if not now_s <= moment <= MAX_U64:
        raise BadUsage(f"--valid-until: {moment} has passed, or will never come")
    return moment
