"""Taking part in the data exchange: `register update-price delist roles`."""

from typing import Annotated, Any, Final

import typer

from chain import wire
from chain.instruction import REGISTERED_ROLES, Delist, Instruction, Register, RegisterOwner, UpdatePrice
from chain.market import OWNER, VALIDATOR
from client.cli import consent, options, output
from client.cli.exits import BadUsage
from client.cli.payments import Out, describe_roles, show_receipt, show_roles
from client.keys import SigningKey
from client.ledgers import Ledger
from client.listings import fetch_file
from client.market import Registration
from client.node import Node
from client.protocol import NodeInfo

_ROLES: Final = (*REGISTERED_ROLES, OWNER)
_SHOWN: Final = 1000
"""Owners of a validator."""

FileId = Annotated[str, typer.Argument(metavar="FILE_ID", help="The file's id: 0x and 64 hex digits.")]


def register(app: typer.Typer) -> None:
    app.command("register")(register_role)
    app.command("update-price")(update_price)
    for command in (delist, roles):
        app.command()(command)


def register_role(
    role: Annotated[str, typer.Argument(help="validator, mart, service-node, or owner.")],
    validator: Annotated[
        str | None, typer.Option("--validator", help="Whose owner: an address, or the name of one of your keys.")
    ] = None,
    out: Out = None,
    is_confirmed: consent.Yes = False,
    node_url: options.NodeUrl = options.DEFAULT_NODE_URL,
    l1_url: options.L1Url = options.DEFAULT_L1_URL,
    settlement: options.Settlement = None,
    key: options.Key = None,
    private_key: options.PrivateKey = None,
    keys_dir: options.KeysDir = None,
    password_file: options.PasswordFile = None,
    is_json: options.Json = False,
) -> None:
    """Take a role in the data exchange, for good."""
    name = role.replace("-", "_")
    if name not in _ROLES:
        raise BadUsage(f"{role}: a role is one of: {' '.join([each.replace('_', '-') for each in _ROLES])}")
    if (name == OWNER) != (validator is not None):
        raise BadUsage("an owner, and nobody else, registers under a --validator")
    under = None if validator is None else options.parse_recipient(validator, keys_dir)
    signer = options.load_key(key, private_key, keys_dir, password_file)
    instruction: Instruction = Register(signer.address, 0, 0, name)
    if under is not None:
        instruction = RegisterOwner(signer.address, 0, 0, under)
    with Node(node_url) as node:
        info, ledger = options.contact(node, l1_url, settlement)
        send(node, info, ledger, signer, instruction, out=out, is_confirmed=is_confirmed, is_json=is_json)


def update_price(
    file_id: FileId,
    price: Annotated[str, typer.Argument(help="In units of the file's asset, such as 1.5.")],
    out: Out = None,
    is_confirmed: consent.Yes = False,
    is_base_units: options.BaseUnits = False,
    node_url: options.NodeUrl = options.DEFAULT_NODE_URL,
    l1_url: options.L1Url = options.DEFAULT_L1_URL,
    settlement: options.Settlement = None,
    key: options.Key = None,
    private_key: options.PrivateKey = None,
    keys_dir: options.KeysDir = None,
    password_file: options.PasswordFile = None,
    is_json: options.Json = False,
) -> None:
    """Ask another price for a file that you listed, from now on."""
    file = options.parse_hash(file_id, "FILE_ID")
    signer = options.load_key(key, private_key, keys_dir, password_file)
    with Node(node_url) as node:
        info, ledger = options.contact(node, l1_url, settlement)
        listed = fetch_file(node, file, ledger).info
        asset = options.choose_asset(wire.encode_address(listed.asset), info.assets)
        units = options.read_amount(price, asset, is_base_units=is_base_units)
        more = [("file", output.show_text(listed.name)), ("price now", output.show_amount(listed.price, asset)),
                ("price then", output.show_amount(units, asset))]  # fmt: skip
        instruction = UpdatePrice(signer.address, 0, 0, file, units)
        send(node, info, ledger, signer, instruction, more, out=out, is_confirmed=is_confirmed, is_json=is_json)


def delist(
    file_id: FileId,
    out: Out = None,
    is_confirmed: consent.Yes = False,
    node_url: options.NodeUrl = options.DEFAULT_NODE_URL,
    l1_url: options.L1Url = options.DEFAULT_L1_URL,
    settlement: options.Settlement = None,
    key: options.Key = None,
    private_key: options.PrivateKey = None,
    keys_dir: options.KeysDir = None,
    password_file: options.PasswordFile = None,
    is_json: options.Json = False,
) -> None:
    """Take a file that you listed off the market, for good; who has bought it has bought it."""
    file = options.parse_hash(file_id, "FILE_ID")
    signer = options.load_key(key, private_key, keys_dir, password_file)
    with Node(node_url) as node:
        info, ledger = options.contact(node, l1_url, settlement)
        more = [("file", output.show_text(fetch_file(node, file, ledger).info.name))]
        instruction = Delist(signer.address, 0, 0, file)
        send(node, info, ledger, signer, instruction, more, out=out, is_confirmed=is_confirmed, is_json=is_json)


def roles(
    who: Annotated[str | None, typer.Argument(help=r"An address or a key's name. \[your key]")] = None,
    has_owners: Annotated[bool, typer.Option("--owners", help="List a validator's owners, too.")] = False,
    node_url: options.NodeUrl = options.DEFAULT_NODE_URL,
    key: options.Key = None,
    private_key: options.PrivateKey = None,
    keys_dir: options.KeysDir = None,
    is_json: options.Json = False,
) -> None:
    """Show what an account is in the data exchange."""
    address = options.find_address(who, key, private_key, keys_dir)
    with Node(node_url) as node:
        account = node.get_account(address)
        owners = (
            node.list_registrations(role=OWNER, validator=address, limit=_SHOWN if has_owners else 1)
            if VALIDATOR in account.roles
            else None
        )
    if is_json:
        answer: dict[str, Any] = {"address": wire.encode_address(address), **describe_roles(account)}
        if owners is not None:
            answer["ownerCount"] = hex(owners.count)
            if has_owners:
                answer["owners"] = [_describe(owner) for owner in owners.items]
        output.print_json(answer)
        return
    output.print_line(wire.encode_address(address), "bold")
    output.print_line(show_roles(account))
    if owners is not None:
        output.print_line(f"{owners.count} owners")
        for owner in owners.items if has_owners else ():
            named = "  named by the validator, not signed for" if owner.is_named_only else ""
            output.print_line(wire.encode_address(owner.account) + named)
        if has_owners and owners.cursor is not None:
            output.note(f"these are the newest {_SHOWN}")


def send(
    node: Node,
    info: NodeInfo,
    ledger: Ledger,
    signer: SigningKey,
    instruction: Instruction,
    more: list[tuple[str, str]] | None = None,
    *,
    out: Out,
    is_confirmed: bool,
    is_json: bool,
) -> None:
    """Shows an instruction, asks, signs, sends, and shows the receipt. `more`: what to show above it."""
    consent.ask_for_instruction(instruction, info.assets, more=more or (), is_confirmed=is_confirmed)
    wallet = options.open_wallet(node, signer, ledger)
    show_receipt(wallet.instruct(instruction), info.assets, wallet.receipts, out, is_json)


def _describe(owner: Registration) -> dict[str, Any]:
    return {
        "account": wire.encode_address(owner.account),
        "namedOnly": owner.is_named_only,
        "block": hex(owner.block),
        "timestamp": hex(owner.timestamp),
    }
