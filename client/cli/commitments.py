"""Commitments on their way to Ethereum: `commitments` shows them, `commit` sends one in the operator's place."""

import time
from typing import Annotated, Any, Final

import typer

from chain import wire
from chain.commitment import Commitment
from chain.errors import MalformedRequest, NotFound
from chain.primitives import MAX_U64
from client.amounts import format_amount
from client.cli import consent, options, output
from client.cli.checking import read_json
from client.cli.ethereum import open_user
from client.cli.exits import BadUsage, NotYet
from client.commitments import Attempt, Way, WaysPage
from client.errors import ClientError
from client.ethereum import Sender, SettlementUser, TxReceipt
from client.health import Check
from client.keys import SigningKey
from client.node import Node
from client.settlement import Ethereum, read_quantity
from client.submissions import SignedCommitment, Submission, Submitter, decode_signed_commitment

_SHOWN: Final = 20
"""Epochs, unless more are asked for."""

_PAGE: Final = 100

_MAX_FILE_SIZE: Final = 16 << 20
"""Bytes of a file of commitments: one takes three kilobytes with two assets."""
_WATCH_S: Final = 2.0

_COLUMNS: Final = (
    "epoch", "state", "blocks", "attempts", "l1 transaction", "l1 block", "confirmations", "gas", "fee", "cost",
)  # fmt: skip
_ATTEMPT_COLUMNS: Final = (
    "attempt", "type", "nonce", "sent", "gas limit", "max fee", "priority fee", "outcome", "gas", "gas price", "cost",
    "l1 transaction",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    app.command()(commitments)
    app.command()(commit)


def commitments(
    epoch: Annotated[
        str | None, typer.Argument(help="An epoch's number, `latest` or `final`: all that was tried for it.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="So many epochs at most.")] = _SHOWN,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on where an earlier list ended.")] = None,
    is_watching: Annotated[
        bool, typer.Option("--watch", help="Show it again whenever it changes, until Ctrl-C.")
    ] = False,
    node_url: options.NodeUrl = options.DEFAULT_NODE_URL,
    is_json: options.Json = False,
) -> None:
    """Show how epochs come to Ethereum, newest first: what was tried, where each is, and what it cost.

    `fee` is what the included transaction cost, whoever sent it; `cost` is what all attempts of the node cost together.
    """
    if epoch is not None and cursor is not None:
        raise BadUsage("either an EPOCH or --cursor")
    if is_watching and is_json:
        raise BadUsage("either --watch or --json")
    place = None if epoch is None else _parse_place(epoch)
    shown: Any = None
    with Node(node_url) as node:
        while True:
            seen = (_read_page(node, cursor, limit) if place is None else node.get_way(place)), _ask_committer(node)
            if seen != shown:
                (_print_json if is_json else _show)(*seen)
            if not is_watching:
                return
            shown = seen
            time.sleep(_WATCH_S)


def commit(
    epoch: Annotated[str | None, typer.Argument(help=r"Its number. \[the one that the contract waits for]")] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--file",
            metavar="FILE",
            help="Take commitments from this file, as `tally commitments --json` shows them, and ask no node. May be "
            "given several times; `-` for standard input.",
        ),
    ] = None,
    is_confirmed: consent.Yes = False,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to wait for its inclusion at most.")] = 300.0,
    node_url: options.NodeUrl = options.DEFAULT_NODE_URL,
    l1_url: options.L1Url = options.DEFAULT_L1_URL,
    settlement: options.Settlement = None,
    key: options.Key = None,
    private_key: options.PrivateKey = None,
    keys_dir: options.KeysDir = None,
    password_file: options.PasswordFile = None,
    is_json: options.Json = False,
) -> None:
    """Send a commitment that the operator has signed to Ethereum, and pay for it with your own ether.

    Anybody may: the contract asks for the operator's signature, not for the sender. It is checked and simulated before
    anything is sent.
    """
    number = None if epoch is None else options.parse_epoch(epoch)
    if number == 0:
        raise BadUsage("EPOCH: the first is 1")
    if files and settlement is None:
        raise BadUsage("--settlement: a file does not say which contract it is for")
    signer = options.load_key(key, private_key, keys_dir, password_file)
    if files:
        address = options.parse_address(settlement or "", "--settlement")
        user = SettlementUser(Sender(Ethereum.at(l1_url), signer, timeout_s=timeout_s), address)
        submitter = Submitter(user)
        submission = _prepare_from_files(submitter, files, number)
    else:
        with Node(node_url) as node:
            _, ledger = options.contact(node, l1_url, settlement)
            submitter = Submitter(open_user(l1_url, signer, ledger, timeout_s=timeout_s))
            submission = _prepare_from_node(submitter, node, number)
    _ask(submission, signer, is_confirmed=is_confirmed)
    tx_receipt = submitter.send(submission)
    _show_inclusion(submission, tx_receipt, is_json=is_json)


# --- what there is


def _parse_place(text: str) -> int | str:
    return text if text in ("latest", "final") else options.parse_epoch(text)


def _read_page(node: Node, cursor: str | None, limit: int) -> WaysPage:
    items: list[Way] = []
    while True:
        page = node.list_commitments(cursor, min(_PAGE, limit - len(items)))
        items += page.items
        cursor = page.cursor
        if cursor is None or len(items) >= limit:
            return WaysPage(tuple(items), cursor)


def _ask_committer(node: Node) -> Check | None:
    """None if the node does not say."""
    try:
        return node.get_health().get("committer")
    except ClientError as error:
        output.note(f"how the node's committer is: {error}")
        return None


def _print_json(shown: WaysPage | Way, committer: Check | None) -> None:
    if isinstance(shown, Way):
        output.print_json(shown.form)
        return
    state = None if committer is None else {"state": committer.state, "ok": committer.is_ok, "detail": committer.detail}
    output.print_json({"items": [way.form for way in shown.items], "cursor": shown.cursor, "committer": state})


def _show(shown: WaysPage | Way, committer: Check | None) -> None:
    if isinstance(shown, Way):
        _show_way(shown)
    else:
        _show_page(shown)
    if committer is not None and not committer.is_ok:
        detail = f": {output.show_text(committer.detail)}" if committer.detail else ""
        output.warn(f"the committer needs somebody: {output.show_text(committer.state)}{detail}")


def _show_page(page: WaysPage) -> None:
    rows = [_make_row(way) for way in page.items]
    output.print_table(_COLUMNS, rows, right=["epoch", "attempts", "l1 block", "confirmations", "gas", "fee", "cost"])
    if not rows:
        output.note("no epoch has been sealed")
    if page.cursor is not None:
        output.note(f"there are older ones: --limit N, or --cursor {page.cursor}")


def _make_row(way: Way) -> list[str]:
    signed = way.signed
    return [
        str(signed.epoch),
        signed.status + (", by somebody else" if way.is_ours is False else ""),
        _show_blocks(signed.commitment),
        str(len(way.attempts)),
        _show_transaction(way),
        _show_number(signed.l1_block),
        _show_number(way.confirmations),
        _show_number(way.gas_used),
        "" if way.fee is None else output.show_ether(way.fee),
        output.show_ether(way.cost),
    ]


def _show_way(way: Way) -> None:
    signed = way.signed
    fields = [("epoch", str(signed.epoch)), ("state", signed.status), ("blocks", _show_blocks(signed.commitment))]
    if way.sealed_at is not None:
        fields.append(("sealed", output.show_time_ms(way.sealed_at)))
    if signed.l1_transaction is not None:
        sender = "the node" if way.is_ours else "somebody else"
        fields += [("l1 transaction", wire.encode_bytes(signed.l1_transaction)), ("sent by", sender)]
        block_hash = "" if way.l1_block_hash is None else f"  {wire.encode_bytes(way.l1_block_hash)}"
        fields.append(("l1 block", f"{_show_number(signed.l1_block)}{block_hash}"))
        fields.append(("confirmations", _show_number(way.confirmations)))
    if signed.included_at is not None:
        fields.append(("included", output.show_time(signed.included_at)))
    if way.final_at is not None:
        fields.append(("challenge until", output.show_time(way.final_at)))
    if way.fee is not None:
        fields.append(("gas", f"{way.gas_used} at {_show_gwei(way.effective_gas_price)} gwei"))
        fields.append(("fee", output.show_ether(way.fee)))
    output.print_fields([*fields, ("cost to the node", output.show_ether(way.cost))])
    output.print_line("")
    if not way.attempts:
        output.note("the node has made no attempt")
        return
    rows = [_make_attempt_row(attempt) for attempt in way.attempts]
    right = ["attempt", "nonce", "gas limit", "max fee", "priority fee", "gas", "gas price", "cost"]
    output.print_table(_ATTEMPT_COLUMNS, rows, right=right)
    output.note("fees and gas prices in gwei")


def _make_attempt_row(attempt: Attempt) -> list[str]:
    problem = f": {output.show_text(attempt.problem)}" if attempt.problem else ""
    return [
        str(attempt.number),
        attempt.type,
        str(attempt.nonce),
        output.show_time_ms(attempt.sent_at),
        str(attempt.gas_limit),
        _show_gwei(attempt.max_fee),
        _show_gwei(attempt.priority_fee),
        (attempt.outcome or "waits") + problem,
        _show_number(attempt.gas_used),
        _show_gwei(attempt.effective_gas_price),
        "" if attempt.cost is None else output.show_ether(attempt.cost),
        wire.encode_bytes(attempt.hash),
    ]


def _show_blocks(commitment: Commitment) -> str:
    return f"{commitment.first_block}-{commitment.last_block}" if commitment.block_count else "none"


def _show_transaction(way: Way) -> str:
    """Of those that were tried, the last; it may be another that gets there."""
    if way.signed.l1_transaction is not None:
        return wire.encode_bytes(way.signed.l1_transaction)
    return wire.encode_bytes(way.attempts[-1].hash) if way.attempts else ""


def _show_number(number: int | None) -> str:
    return "" if number is None else str(number)


def _show_gwei(wei: int | None) -> str:
    return "" if wei is None else format_amount(wei, 9)


# --- sending one


def _prepare_from_node(submitter: Submitter, node: Node, number: int | None) -> Submission:
    """Raises `NotYet` if nothing waits, and as `Submitter.prepare`."""
    head = submitter.get_head()
    wanted = head.epoch + 1 if number is None else number
    try:
        next_one = node.get_commitment(wanted)
    except NotFound as error:
        raise NotYet(f"epoch {wanted} is not sealed yet; the contract has epoch {head.epoch}") from error
    known = []
    if head.epoch and wanted == head.epoch + 1:
        known = [node.get_commitment(head.epoch).commitment]
    return submitter.prepare(SignedCommitment(next_one.commitment, next_one.signature), known)


def _prepare_from_files(submitter: Submitter, files: list[str], number: int | None) -> Submission:
    """Raises as `Submitter.prepare`."""
    found = [signed for file in files for signed in _read_commitments(file)]
    if number is None:
        # What there is of the epoch that is next; else the newest of them, of which it is said why it is not taken.
        next_epoch = submitter.get_head().epoch + 1
        number = next_epoch if any(each.epoch == next_epoch for each in found) else max(each.epoch for each in found)
    signed = next((each for each in found if each.epoch == number), None)
    if signed is None:
        raise BadUsage(f"there is no commitment of epoch {number} in {' '.join(files)}")
    return submitter.prepare(signed, [each.commitment for each in found])


def _read_commitments(file: str) -> list[SignedCommitment]:
    form = read_json(file, _MAX_FILE_SIZE)
    forms = form["items"] if isinstance(form, dict) and isinstance(form.get("items"), list) else [form]
    try:
        found = [decode_signed_commitment(each) for each in forms]
    except MalformedRequest as error:
        raise BadUsage(f"{file}: no commitment as `tally commitments --json` shows it: {error}") from error
    if not found:
        raise BadUsage(f"{file}: there is no commitment in it")
    return found


def _ask(submission: Submission, signer: SigningKey, *, is_confirmed: bool) -> None:
    signed, quote = submission.signed, submission.quote
    most = output.show_ether(quote.most_cost)
    fields = [
        ("epoch", str(signed.epoch)),
        ("digest", wire.encode_bytes(submission.digest)),
        ("blocks", _show_blocks(signed.commitment)),
        ("from", f"{wire.encode_address(signer.address)}  has {output.show_ether(submission.balance)}"),
        ("gas, at most", f"{quote.gas_limit} at {_show_gwei(quote.max_fee)} gwei"),
        ("base fee", "none" if quote.base_fee is None else f"{_show_gwei(quote.base_fee)} gwei"),
        ("cost, at most", most),
    ]
    consent.ask(fields, f"Send it, for at most {most}?", is_confirmed=is_confirmed)


def _show_inclusion(submission: Submission, tx_receipt: TxReceipt, *, is_json: bool) -> None:
    price = read_quantity(tx_receipt.form.get("effectiveGasPrice"), "effectiveGasPrice", MAX_U64)
    cost = tx_receipt.gas_used * price
    if is_json:
        output.print_json(
            {
                "epoch": hex(submission.signed.epoch),
                "digest": wire.encode_bytes(submission.digest),
                "l1Transaction": wire.encode_bytes(tx_receipt.l1_transaction),
                "l1Block": hex(tx_receipt.l1_block),
                "gasUsed": hex(tx_receipt.gas_used),
                "effectiveGasPrice": hex(price),
                "cost": hex(cost),
            }
        )
        return
    output.print_fields(
        [
            ("included", f"epoch {submission.signed.epoch}"),
            ("l1 transaction", wire.encode_bytes(tx_receipt.l1_transaction)),
            ("l1 block", str(tx_receipt.l1_block)),
            ("gas", f"{tx_receipt.gas_used} at {_show_gwei(price)} gwei"),
            ("cost", output.show_ether(cost)),
        ]
    )
