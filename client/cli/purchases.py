"""Buying files: `purchase`, and for those who sell them `check-purchase`."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from chain import wire
from chain.errors import AlreadyPurchased, InvalidProof, Refusal, WrongPrice
from chain.market import compute_named_shares
from chain.params import Domain
from chain.primitives import ZERO_HASH, Address, Hash
from chain.receipt import InstructionReceipt
from client.amounts import MalformedAmount, parse_base_units
from client.cli import consent, options, output
from client.cli.checking import read_json
from client.cli.exits import BadUsage, Ended, Exit
from client.cli.market import FileId
from client.cli.payments import Out
from client.content import decrypt_content
from client.errors import BadReply, WrongLedger
from client.file_keys import FileKey, FileKeyStore
from client.files import write_durably
from client.json_text import parse_json
from client.keys import SigningKey
from client.ledgers import Ledger, LedgerBook
from client.listings import CheckedFile, fetch_file
from client.market import Purchase
from client.node import Node
from client.protocol import (
    HeldReceipt,
    NodeInfo,
    decode_domain,
    decode_held_instruction_receipt,
    decode_held_receipt,
)
from client.purchases import (
    Terms,
    check_file_key,
    check_purchase,
    compute_terms,
    find_terms,
    get_place,
    open_purchased_key,
)
from client.quotes import confirm_quote, describe_purchase, make_purchase
from client.receipts import ReceiptStore
from client.settlement import Ethereum
from client.verifier import Outcome, Report, Verdict, verify_receipt


def register(app: typer.Typer) -> None:
    app.command()(purchase)
    app.command("check-purchase")(check)


def purchase(
    file_id: FileId,
    price: Annotated[
        str | None,
        typer.Option("--price", help="What you expect to pay, in units of the asset; any other price is refused."),
    ] = None,
    encrypted: Annotated[Path | None, typer.Option("--decrypt", help="The encrypted file, if you have it.")] = None,
    content: Annotated[Path | None, typer.Option("--output", help="Where to write its content.")] = None,
    file_key: Annotated[
        Path | None, typer.Option("--file-key", help="A file with the key in hex, if the validator gave it to you.")
    ] = None,
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
    """Buy a file, and get its key; decrypt it if you have it. What was bought before is not paid again.

    Everything that is paid for is checked first to be under the validator's signature.
    """
    _check_paths(encrypted, content)
    file = options.parse_hash(file_id, "FILE_ID")
    given_key = None if file_key is None else _read_file_key(file_key)
    signer = options.load_key(key, private_key, keys_dir, password_file)
    with Node(node_url) as node:
        info, ledger = options.contact(node, l1_url, settlement)
        checked = fetch_file(node, file, ledger)
        if encrypted is not None and checked.listing.key_hash == ZERO_HASH:
            raise BadUsage("the content is not encrypted: there is nothing to decrypt")
        expected_price = None if price is None else _read_price(price, checked, info, is_base_units)
        held = _buy(node, info, ledger, signer, checked, expected_price, is_confirmed, wants_key=encrypted is not None)
        bought = node.get_purchase(file, signer.address)
        _check_answer(bought, checked, info, ledger, signer.address)
        store = ReceiptStore(ledger.domain.chain_id)
        store.save(bought.receipt)
        kept = _keep_key(bought, checked, ledger, signer, given_key)
        if encrypted is not None and content is not None:
            if kept is None:
                raise BadUsage("the validator hands out the key: ask for it, then give --file-key")
            decrypt_content(encrypted, content, kept.key, checked.listing.content_hash)
    if out is not None:
        write_durably(out.absolute(), store.encode(bought.receipt))
    key_path = None if kept is None else str(FileKeyStore(ledger.domain.chain_id).get_path(file))
    answer = {
        "file": wire.encode_bytes(file),
        "paid": held is not None,
        "receipt": bought.receipt.form,
        "key": key_path,
        "output": None if content is None else str(content),
    }
    if is_json:
        output.print_json(answer)
        return
    output.print_receipt(bought.receipt, info.assets, str(store.get_path(bought.receipt.id)))
    output.print_fields([(name, str(answer[name])) for name in ("key", "output") if answer[name] is not None])
    if kept is None and checked.listing.key_hash != ZERO_HASH:
        output.note("the validator hands out the key: show the receipt, then `--decrypt` with --file-key")


def check(
    receipt: Annotated[str, typer.Argument(metavar="RECEIPT", help="The buyer's receipt; `-` for standard input.")],
    file_id: Annotated[str, typer.Option("--file", help="The file's id.")],
    buyer: Annotated[str, typer.Option("--buyer", help="An address.")],
    operator: Annotated[str | None, typer.Option("--operator", help=r"Whose promises count. \[as pinned]")] = None,
    l1_url: Annotated[
        str | None, typer.Option("--l1-url", help="Ask this endpoint of Ethereum, too: the receipt must be committed.")
    ] = None,
    settlement: options.Settlement = None,
    listing: Annotated[
        Path | None, typer.Option("--listing", help=r"The receipt of the file's listing. \[out of your receipts]")
    ] = None,
    price: Annotated[
        str | None, typer.Option("--price", help=r"In base units. \[that of your listing, or of its last change]")
    ] = None,
    is_json: options.Json = False,
) -> None:
    """Decide from a receipt whether somebody has bought a file, asking no node.

    Ends with 0 if so, 1 if not; with --l1-url 2 if it is not on Ethereum yet.
    """
    form = read_json(receipt)
    file, account = options.parse_hash(file_id, "--file"), options.parse_address(buyer, "--buyer")
    held = _decode_receipt(form)
    report = None if l1_url is None else _verify(form, l1_url, settlement)
    domain = _read_domain(held, settlement)
    pinned = LedgerBook().find(domain.chain_id)
    trusted = _choose_operator(operator, pinned, report)
    terms = _find_terms(held, file, pinned, domain, trusted, listing)
    if terms is not None and price is not None:
        terms = msgspec.structs.replace(terms, price=_parse_base_units(price))
    check_purchase(held.receipt, file=file, buyer=account, domain=domain, operator=trusted, terms=terms)
    if terms is None:
        output.warn("no receipt of the file's listing is here: that it was paid as listed is the operator's word")
    if pinned is None and settlement is None:
        named = wire.encode_address(domain.verifying_contract)
        output.warn(f"the receipt named contract {named}: compare it with the address you know, or give --settlement")
    payment = held.receipt.signed.payment
    answer = {
        "bought": True,
        "file": wire.encode_bytes(file),
        "buyer": wire.encode_address(account),
        "payment": wire.encode_bytes(held.id),
        "asset": wire.encode_address(payment.asset),
        "total": hex(payment.total),
        "block": hex(held.receipt.header.number),
        "timestamp": hex(held.receipt.header.timestamp),
        "operator": wire.encode_address(trusted),
        "checkedPrice": terms is not None,
        "verdict": None if report is None else report.verdict,
    }
    if is_json:
        output.print_json(answer)
    else:
        shown = ("buyer", "file", "payment", "operator")
        output.print_fields([(name, str(answer[name])) for name in shown])
        output.print_fields([("total", f"{payment.total} base units"),
                             ("time", output.show_time_ms(held.receipt.header.timestamp))])  # fmt: skip
        output.print_line("BOUGHT" if report is None else f"BOUGHT, {report.verdict}", "bold green")
    if report is not None and report.verdict is Verdict.ACCEPTED:
        raise Ended(Exit.NOT_YET)


# --- buying


def _check_paths(encrypted: Path | None, content: Path | None) -> None:
    """Before anything is paid. Raises `BadUsage`."""
    if (encrypted is None) != (content is None):
        raise BadUsage("--decrypt says what, and --output says where to: both or neither")
    if encrypted is not None and not encrypted.is_file():
        raise BadUsage(f"{encrypted}: there is no such file")
    if content is not None and content.exists():
        raise BadUsage(f"{content} is there already")


def _buy(
    node: Node,
    info: NodeInfo,
    ledger: Ledger,
    signer: SigningKey,
    checked: CheckedFile,
    expected_price: int | None,
    is_confirmed: bool,
    *,
    wants_key: bool,
) -> HeldReceipt | None:
    """None if the file was bought before and only its key is wanted; else raises `AlreadyPurchased`."""
    listed, market = checked.info, info.parameters.market
    if expected_price is not None and expected_price != listed.price:
        raise WrongPrice(listed.price, expected_price)
    payment = make_purchase(listed.as_file(), signer.address, market)
    try:
        confirm_quote(node, payment, describe_purchase(payment))
    except AlreadyPurchased:
        if not wants_key:
            raise
        output.note("you have bought it already; nothing is paid")
        return None
    roles: dict[Address, str] = {}
    for role, to, _ in compute_named_shares(listed.as_file(), market):
        roles[to] = f"{roles[to]} and {role}" if to in roles else role.replace("_", " ")
    more = [
        ("file", output.show_text(listed.name)),
        ("size", f"{listed.size} bytes"),
        ("key", _describe_key(checked)),
    ]
    consent.ask_for_payment(payment, info.assets, roles=roles, more=more, is_confirmed=is_confirmed)
    return options.open_wallet(node, signer, ledger).send(payment)


def _describe_key(checked: CheckedFile) -> str:
    if checked.listing.key_hash == ZERO_HASH:
        return "none, the content is not encrypted"
    return "from the node, at once" if checked.listing.sealed_key else "from the validator"


def _check_answer(bought: Purchase, checked: CheckedFile, info: NodeInfo, ledger: Ledger, buyer: Address) -> None:
    """What the node shows as the purchase; its price may be one of before."""
    if (bought.file, bought.buyer) != (checked.info.id, buyer):
        raise BadReply("the node answers with another purchase than was asked for")
    listed, paid = checked.info, bought.receipt.receipt.signed.payment
    terms = Terms(listed.id, listed.validator, listed.owner, listed.asset, paid.total, None, info.parameters.market)
    check_purchase(
        bought.receipt.receipt,
        file=listed.id,
        buyer=buyer,
        domain=ledger.domain,
        operator=ledger.operator,
        terms=terms,
    )


def _keep_key(
    bought: Purchase, checked: CheckedFile, ledger: Ledger, signer: SigningKey, given_key: bytes | None
) -> FileKey | None:
    """The file's key, on disk; None if there is none yet, or none at all."""
    listing = checked.listing
    if given_key is not None:
        check_file_key(given_key, listing.key_hash)
        opened = given_key
    elif bought.sealed_key is not None:
        opened = open_purchased_key(bought, signer, ledger.domain, listing.key_hash)
    else:
        return None
    file_key = FileKey(listing.file, opened, listing.content_hash, listing.name)
    FileKeyStore(ledger.domain.chain_id).add(file_key)
    return file_key


def _read_price(text: str, checked: CheckedFile, info: NodeInfo, is_base_units: bool) -> int:
    asset = options.choose_asset(wire.encode_address(checked.info.asset), info.assets)
    return options.read_amount(text, asset, is_base_units=is_base_units)


def _read_file_key(path: Path) -> bytes:
    """32 bytes: from hex, or from the JSON that `client.file_keys` writes."""
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadUsage(f"{path}: no file with a key") from error
    if text[:1] == "{":
        try:
            text = str(parse_json(text).get("key"))
        except msgspec.DecodeError:
            text = ""
    digits = text.removeprefix("0x")
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if len(key) != 32 or len(digits) != 64:
        raise BadUsage(f"{path}: a key is 64 hex digits")
    return key


# --- checking


def _decode_receipt(form: Any) -> HeldReceipt:
    """Bare, within its JSON-RPC reply, or within what `tally_getPurchase` answers."""
    if isinstance(form, dict) and "jsonrpc" in form and "result" in form:
        form = form["result"]
    if isinstance(form, dict) and "receipt" in form and "id" not in form:
        form = form["receipt"]
    try:
        return decode_held_receipt(form)
    except (BadReply, Refusal) as error:
        raise InvalidProof(f"not the receipt of a payment: {error}") from error


def _read_domain(held: HeldReceipt, settlement: str | None) -> Domain:
    try:
        domain = decode_domain(wire.get_field(held.form, "domain", "receipt"))
    except (BadReply, Refusal) as error:
        raise InvalidProof(f"not a receipt of such a ledger: {error}") from error
    if settlement is not None and domain.verifying_contract != options.parse_address(settlement, "--settlement"):
        served = wire.encode_address(domain.verifying_contract)
        raise WrongLedger(f"the receipt is of contract {served}, not of {settlement}")
    return domain


def _choose_operator(operator: str | None, pinned: Ledger | None, report: Report | None) -> Address:
    """The one that is given; else the contract's, when Ethereum was asked; else the pinned one."""
    if operator is not None:
        given = options.parse_address(operator, "--operator")
        if report is not None and report.operator != given:
            raise WrongLedger("the contract names another operator than --operator")
        return given
    if report is not None and report.operator is not None:
        return report.operator
    if pinned is None:
        raise BadUsage("that ledger is not known here: give its --operator, or ask Ethereum with --l1-url")
    return pinned.operator


def _verify(form: Any, l1_url: str, settlement: str | None) -> Report:
    """Raises `InvalidProof` with every step that failed."""
    ethereum = Ethereum.at(l1_url)
    try:
        pinned = None if settlement is None else options.parse_address(settlement, "--settlement")
        report = verify_receipt(form, ethereum, pinned)
    finally:
        ethereum.close()
    if report.verdict is Verdict.FAILED:
        failed = [f"{step.name}: {step.detail}" for step in report.steps if step.outcome is Outcome.FAILED]
        raise InvalidProof("; ".join(failed))
    return report


def _find_terms(
    held: HeldReceipt, file: Hash, pinned: Ledger | None, domain: Domain, operator: Address, listing: Path | None
) -> Terms | None:
    if pinned is None or pinned.parameters is None:
        if listing is not None:
            raise BadUsage("how that ledger splits a price is not known here: `tally balance` once, to its node")
        return None
    place = get_place(held.receipt)
    if listing is None:
        return find_terms(ReceiptStore(domain.chain_id), file, pinned, place=place)
    market = pinned.parameters.market
    terms = compute_terms(_read_listing(listing), [], place=place, domain=domain, operator=operator, market=market)
    if terms.file != file:
        raise BadUsage(f"{listing} lists file {wire.encode_bytes(terms.file)}")
    return terms


def _read_listing(path: Path) -> InstructionReceipt:
    try:
        return decode_held_instruction_receipt(read_json(str(path))).receipt
    except (BadReply, Refusal) as error:
        raise BadUsage(f"{path}: not the receipt of an instruction: {error}") from error


def _parse_base_units(text: str) -> int:
    try:
        return parse_base_units(text)
    except MalformedAmount as error:
        raise BadUsage(f"--price: {error}") from error
