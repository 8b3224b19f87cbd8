"""Paying, and what is left of it: `balance send tip withdraw receipt`."""

import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from chain import wire
from chain.errors import NotFound
from chain.kinds import TIP, TRANSFER, WITHDRAW
from chain.market import OWNER
from chain.payment import Output, Payment
from chain.primitives import Address, Hash
from chain.receipt import check_inclusion, check_instruction_receipt, check_receipt
from client.cli import consent, options, output
from client.cli.exits import BadUsage, NotYet
from client.errors import BadReply, OutcomeUnknown
from client.files import write_durably
from client.ledgers import Ledger
from client.node import Node
from client.protocol import Account, AnyHeldReceipt, Asset, HeldReceipt, NodeInfo
from client.quotes import confirm_quote, describe_single
from client.receipts import ReceiptStore
from client.settlement import Ethereum
from client.wallet import resend

_POLL_S: Final = 0.5
_STAGES: Final = {"accepted": 0, "committed": 1, "final": 2}

To = Annotated[str, typer.Argument(help="Whom to pay: an address, or the name of one of your keys.")]
Amount = Annotated[str, typer.Argument(help="In units of the asset, such as 1.5.")]
RecordId = Annotated[
    str, typer.Argument(metavar="ID", help="Of a payment or an instruction, or a file with its receipt.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Write the receipt's JSON to this file, too.")]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to wait at most.")]


def register(app: typer.Typer) -> None:
    for command in (balance, send, tip, withdraw, receipt):
        app.command()(command)


def balance(
    who: Annotated[str | None, typer.Argument(help=r"An address or a key's name. \[your key]")] = None,
    has_l1: Annotated[bool, typer.Option("--l1", help="Show what the address holds on Ethereum, too.")] = False,
    node_url: options.NodeUrl = options.DEFAULT_NODE_URL,
    l1_url: options.L1Url = options.DEFAULT_L1_URL,
    key: options.Key = None,
    private_key: options.PrivateKey = None,
    keys_dir: options.KeysDir = None,
    is_json: options.Json = False,
) -> None:
    """Show what an account holds."""
    address = options.find_address(who, key, private_key, keys_dir)
    with Node(node_url) as node:
        info = node.get_info()
        account = node.get_account(address)
    on_l1 = _read_l1_balances(l1_url, info, address) if has_l1 else {}
    if is_json:
        lines = []
        for asset in info.assets:
            line = {
                "asset": wire.encode_address(asset.address),
                "symbol": asset.symbol,
                "balance": hex(account.balances.get(asset.address, 0)),
            }
            lines.append(line | ({"l1Balance": hex(on_l1[asset.address])} if has_l1 else {}))
        output.print_json(
            {
                "address": wire.encode_address(address),
                "nextNonce": hex(account.next_nonce),
                "balances": lines,
                **describe_roles(account),
            }
        )
        return
    output.print_line(wire.encode_address(address), "bold")
    if account.roles:
        output.print_line(show_roles(account))
    columns = ["asset", "balance", *(["on Ethereum"] if has_l1 else []), "address"]
    rows = []
    for asset in info.assets:
        held = [output.show_amount(account.balances.get(asset.address, 0), asset)]
        if has_l1:
            held.append(output.show_amount(on_l1[asset.address], asset))
        rows.append([asset.symbol, *held, wire.encode_address(asset.address)])
    output.print_table(columns, rows, right=["balance", "on Ethereum"])


def send(
    to: To,
    amount: Amount,
    asset_name: options.AssetName = None,
    memo: options.Memo = "",
    reference: options.Reference = None,
    valid_until: options.ValidUntil = None,
    out: Out = None,
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
    """Pay somebody, and keep the receipt."""
    recipient = options.parse_recipient(to, keys_dir)
    signer = options.load_key(key, private_key, keys_dir, password_file)
    with Node(node_url) as node:
        info, ledger = options.contact(node, l1_url, settlement)
        asset = options.choose_asset(asset_name, info.assets)
        units = options.read_amount(amount, asset, is_base_units=is_base_units)
        wallet = options.open_wallet(node, signer, ledger)
        held = wallet.pay(
            asset.address,
            [Output(recipient, units)],
            kind=TRANSFER,
            reference=options.parse_reference(reference),
            memo=memo,
            valid_until=options.parse_valid_until(valid_until, int(time.time())),
        )
        show_receipt(held, info.assets, wallet.receipts, out, is_json)


def tip(
    to: To,
    amount: Amount,
    asset_name: options.AssetName = None,
    memo: options.Memo = "",
    reference: options.Reference = None,
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
    """Tip somebody: a payment of its own kind, to one recipient."""
    recipient = options.parse_recipient(to, keys_dir)
    signer = options.load_key(key, private_key, keys_dir, password_file)
    with Node(node_url) as node:
        info, ledger = options.contact(node, l1_url, settlement)
        asset = options.choose_asset(asset_name, info.assets)
        units = options.read_amount(amount, asset, is_base_units=is_base_units)
        wallet = options.open_wallet(node, signer, ledger)
        outputs = (Output(recipient, units),)
        named = options.parse_reference(reference)
        payment = Payment(asset.address, signer.address, 0, 0, TIP, named, memo, outputs)
        confirm_quote(node, payment, describe_single(payment))
        consent.ask_for_payment(payment, info.assets, is_confirmed=is_confirmed)
        held = wallet.send(payment)
        show_receipt(held, info.assets, wallet.receipts, out, is_json)


def withdraw(
    amount: Amount,
    to: Annotated[str | None, typer.Option("--to", help=r"The recipient on Ethereum. \[your own address]")] = None,
    asset_name: options.AssetName = None,
    memo: options.Memo = "",
    out: Out = None,
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
    """Take money out of the ledger; once its epoch is final, `tally claim ID` pays it on Ethereum."""
    signer = options.load_key(key, private_key, keys_dir, password_file)
    recipient = options.parse_recipient(to, keys_dir) if to is not None else signer.address
    with Node(node_url) as node:
        info, ledger = options.contact(node, l1_url, settlement)
        asset = options.choose_asset(asset_name, info.assets)
        units = options.read_amount(amount, asset, is_base_units=is_base_units)
        wallet = options.open_wallet(node, signer, ledger)
        held = wallet.pay(asset.address, [Output(recipient, units)], kind=WITHDRAW, memo=memo)
        show_receipt(held, info.assets, wallet.receipts, out, is_json)
    if not is_json:
        output.note(f"then: tally claim {wire.encode_bytes(held.id)} --wait")


def receipt(
    record_id: RecordId,
    wait: Annotated[str | None, typer.Option("--wait", help="Until it is `committed` or `final`.")] = None,
    timeout_s: Timeout = 7200.0,
    out: Out = None,
    is_offline: Annotated[bool, typer.Option("--offline", help="Show the one on disk; ask nobody.")] = False,
    is_resend: Annotated[
        bool, typer.Option("--resend", help="Send a payment again whose outcome is not known. It is charged once.")
    ] = False,
    node_url: options.NodeUrl = options.DEFAULT_NODE_URL,
    l1_url: options.L1Url = options.DEFAULT_L1_URL,
    settlement: options.Settlement = None,
    is_json: options.Json = False,
) -> None:
    """Fetch the receipt of a payment or an instruction, check it, and keep it."""
    if wait is not None and wait not in ("committed", "final"):
        raise BadUsage("--wait committed, or --wait final")
    wanted = options.parse_payment_id(record_id)
    if is_offline:
        held, store = _find_stored(wanted)
        assets: tuple[Asset, ...] = ()
    else:
        with Node(node_url) as node:
            info, ledger = options.contact(node, l1_url, settlement)
            store, assets = ReceiptStore(ledger.domain.chain_id), info.assets
            if is_resend:
                _resend(node, ledger, store, wanted)
            held = _wait_for_receipt(node, store, wanted, wait, timeout_s)
            _check(held, ledger)
            store.save(held)
            _settle_pending(node, ledger, store, wanted)
            if held.receipt.inclusion is not None and _is_withdrawal(held):
                store.save_proof(node.get_payment_proof(wanted))
    show_receipt(held, assets, store, out, is_json)


# --- roles


def describe_roles(account: Account) -> dict[str, Any]:
    under = account.owner_under
    return {"roles": list(account.roles), "ownerUnder": None if under is None else wire.encode_address(under)}


def show_roles(account: Account) -> str:
    """Such as `validator, owner under 0x…`."""
    names = [role.replace("_", " ") for role in account.roles]
    if account.owner_under is not None:
        names = [
            f"{name} under {wire.encode_address(account.owner_under)}" if name == OWNER else name for name in names
        ]
    return ", ".join(names) or "no roles"


# --- receipts


def show_receipt(
    held: AnyHeldReceipt, assets: tuple[Asset, ...], store: ReceiptStore, out: Path | None, is_json: bool
) -> None:
    if out is not None:
        write_durably(out.absolute(), store.encode(held))
    if is_json:
        output.print_json(held.form)
    else:
        output.print_receipt(held, assets, str(store.get_path(held.id)))


def _find_stored(record_id: Hash) -> tuple[AnyHeldReceipt, ReceiptStore]:
    for store in ReceiptStore.get_all():
        held = store.find(record_id)
        if held is not None:
            return held, store
    raise NotFound(f"a receipt of {wire.encode_bytes(record_id)}")


def _resend(node: Node, ledger: Ledger, store: ReceiptStore, record_id: Hash) -> None:
    """Needs no key: what is sent is what was signed then."""
    if resend(node, ledger, store, record_id) is None:
        output.note("nothing of that id is pending here; asking for its receipt")


def _settle_pending(node: Node, ledger: Ledger, store: ReceiptStore, record_id: Hash) -> None:
    """Its receipt is on disk. Of an upload, the listing's gets there before the pending copy goes."""
    pending = store.find_pending(record_id)
    for record in pending.records[:-1] if pending else ():
        held = node.get_any_receipt(record.id)
        _check(held, ledger)
        store.save(held)
    store.remove_pending(record_id)


def _wait_for_receipt(
    node: Node, store: ReceiptStore, record_id: Hash, wait: str | None, timeout_s: float
) -> AnyHeldReceipt:
    deadline = time.monotonic() + timeout_s
    stage = _STAGES[wait] if wait else 0
    while True:
        try:
            held = node.get_any_receipt(record_id)
        except NotFound:
            if store.find_pending(record_id) is not None:
                cause = "the node does not have it; `--resend` sends it again, and charges once"
                raise OutcomeUnknown(record_id, cause) from None
            raise
        if held.id != record_id:
            raise BadReply(f"the node answers with the receipt of {wire.encode_bytes(held.id)}")
        if _STAGES.get(held.status, 2) >= stage:
            return held
        if time.monotonic() >= deadline:
            raise NotYet(f"{wire.encode_bytes(record_id)} is {held.status} after {timeout_s:g} s")
        time.sleep(_POLL_S)


def _is_withdrawal(held: AnyHeldReceipt) -> bool:
    return isinstance(held, HeldReceipt) and held.receipt.signed.payment.kind == WITHDRAW


def _check(held: AnyHeldReceipt, ledger: Ledger) -> None:
    """Raises `InvalidProof` or `InvalidSignature`. Ethereum is not asked: that is `tally verify`."""
    if isinstance(held, HeldReceipt):
        check_receipt(held.receipt, ledger.domain, ledger.operator)
    else:
        check_instruction_receipt(held.receipt, ledger.domain, ledger.operator)
    if held.receipt.inclusion is not None:
        check_inclusion(held.receipt.header, held.receipt.inclusion, ledger.domain)


# --- balances


def _read_l1_balances(l1_url: str, info: NodeInfo, address: Address) -> dict[Address, int]:
    from client.ethereum import get_balance

    ethereum = Ethereum.at(l1_url)
    try:
        return {asset.address: get_balance(ethereum, asset.address, address) for asset in info.assets}
    finally:
        ethereum.close()
