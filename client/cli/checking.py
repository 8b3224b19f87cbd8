"""Trusting nobody: `verify` a receipt, `audit` a ledger."""

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from chain import wire
from chain.primitives import Address
from client.cli import options, output
from client.cli.exits import BadUsage, Ended, Exit
from client.errors import WrongLedger
from client.json_text import parse_json
from client.ledgers import LedgerBook
from client.node import Node
from client.settlement import Ethereum, SettlementReader
from client.verifier import Outcome, Report, Verdict, is_proof, verify_proof, verify_receipt

_MARKS = {Outcome.OK: "[green]ok[/]     ", Outcome.FAILED: "[red]FAILED[/] ", Outcome.SKIPPED: "[dim]skipped[/]"}
_EXITS = {
    Verdict.FINAL: Exit.DONE,
    Verdict.COMMITTED: Exit.DONE,
    Verdict.ACCEPTED: Exit.NOT_YET,
    Verdict.FAILED: Exit.NO,
}
_MAX_RECEIPT_SIZE = 1 << 20
"""Bytes: a receipt takes a few kilobytes."""


def register(app: typer.Typer) -> None:
    app.command()(verify)
    app.command()(audit)


def verify(
    file: Annotated[
        str, typer.Argument(help="A receipt or a proof as the node gave it in JSON; `-` for standard input.")
    ],
    l1_url: options.L1Url = options.DEFAULT_L1_URL,
    settlement: options.Settlement = None,
    l1_block: Annotated[
        str | None,
        typer.Option(
            "--l1-block",
            metavar="HASH",
            help="Have everything proven from this L1 block's hash, so that the endpoint need not be trusted.",
        ),
    ] = None,
    is_json: options.Json = False,
) -> None:
    """Check a receipt, or a proof of a balance, of roles or of a file, against Ethereum, with no trust in any node.

    Ends with 0 if it is committed or final, 2 if it is accepted and not yet on Ethereum, 1 if anything is wrong.
    """
    form = read_json(file)
    address = None if settlement is None else options.parse_address(settlement, "--settlement")
    block = None if l1_block is None else options.parse_hash(l1_block, "--l1-block")
    ethereum = Ethereum.at(l1_url)
    try:
        if not is_proof(form):
            report = verify_receipt(form, ethereum, address, block)
        elif address is not None:
            report = verify_proof(form, ethereum, address, block)
        else:
            raise BadUsage("a proof names no contract: give --settlement")
    finally:
        ethereum.close()
    _note_cut(report)
    if is_json:
        output.print_json(_describe_report(report))
    else:
        _show_report(report)
    raise Ended(_EXITS[report.verdict])


def audit(
    node_url: options.NodeUrl = options.DEFAULT_NODE_URL,
    l1_url: options.L1Url = options.DEFAULT_L1_URL,
    settlement: options.Settlement = None,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="Read a stopped node's data directory instead, its index included."),
    ] = None,
    is_json: options.Json = False,
) -> None:
    """Replay a whole ledger, and hold every root, total and signature against Ethereum.

    Ends with 0 if all of it agrees, 1 if anything does not; each disagreement is named.
    """
    pinned = None if settlement is None else options.parse_address(settlement, "--settlement")
    summary = _audit_data_dir(data_dir, l1_url, pinned) if data_dir else _audit_node(node_url, l1_url, pinned)
    if is_json:
        output.print_json(summary)
    else:
        _show_summary(summary)
    raise Ended(Exit.NO if summary["disagreementCount"] else Exit.DONE)


# --- receipts


def read_json(file: str, max_size: int = _MAX_RECEIPT_SIZE) -> Any:
    """`max_size`: bytes."""
    try:
        data = sys.stdin.buffer.read(max_size + 1) if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise BadUsage(f"{file}: {error.strerror}") from error
    if len(data) > max_size:
        raise BadUsage(f"{file}: larger than {max_size} bytes, more than is read of such a file")
    try:
        return parse_json(data)
    except msgspec.DecodeError as error:
        raise BadUsage(f"{file}: not JSON: {error}") from error


def _note_cut(report: Report) -> None:
    """A cut seen on Ethereum bounds from below what the ledger may date its later receipts, if that ledger is known."""
    if report.verdict not in (Verdict.COMMITTED, Verdict.FINAL) or report.cut_at is None:
        return
    book = LedgerBook()
    for ledger in book.get_all():
        if (ledger.settlement, ledger.operator) == (report.settlement, report.operator):
            book.note_mined(ledger, report.cut_at)


def _show_report(report: Report) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for step in report.steps:
        console.print(f"{_MARKS[step.outcome]} {step.name:<19}", end=" ")
        console.print(step.detail, markup=False)
    if report.settlement is not None:
        output.print_line("")
        output.print_line(f"checked against contract {wire.encode_address(report.settlement)}")
        if not report.is_pinned:
            output.warn("the receipt named that contract: compare it with the address you know, or give --settlement")
    output.print_line(report.verdict.upper(), f"bold {output.style_status(report.verdict)}")


def _describe_report(report: Report) -> dict[str, Any]:
    block = report.l1_block
    return {
        "verdict": report.verdict,
        "id": None if report.record_id is None else wire.encode_bytes(report.record_id),
        "settlement": None if report.settlement is None else wire.encode_address(report.settlement),
        "pinned": report.is_pinned,
        "operator": None if report.operator is None else wire.encode_address(report.operator),
        "epoch": None if report.epoch is None else hex(report.epoch),
        "l1Block": None if block is None else {"number": hex(block.number), "hash": wire.encode_bytes(block.hash)},
        "steps": [{"name": step.name, "outcome": step.outcome, "detail": step.detail} for step in report.steps],
    }


# --- ledgers


def _audit_node(node_url: str, l1_url: str, settlement: Address | None) -> dict[str, Any]:
    from client.audit import Auditor, ContractAudit, Findings, NodeSource

    findings = Findings(_show_disagreement)
    with Node(node_url) as node:
        # The contract is asked first, so that whatever it has, the node must have, too.
        address = settlement or node.get_info().domain.verifying_contract
        ethereum = Ethereum.at(l1_url)
        try:
            contract = ContractAudit(SettlementReader(ethereum, address), findings)
            source = NodeSource(node)
            if source.info.domain.verifying_contract != address:
                served = wire.encode_address(source.info.domain.verifying_contract)
                raise WrongLedger(f"the node serves contract {served}, not {wire.encode_address(address)}")
            with _Progress(source.last_block) as progress:
                auditor = Auditor(source.parameters, source.operator, findings, contract, progress.show)
                report = auditor.run(source.read())
        finally:
            ethereum.close()
    return _summarise(report, findings, address, settlement is not None)


def _audit_data_dir(data_dir: Path, l1_url: str, settlement: Address | None) -> dict[str, Any]:
    from client.audit import Auditor, ContractAudit, Findings
    from client.audit.journal import JournalSource

    findings = Findings(_show_disagreement)
    source = JournalSource(data_dir, findings)
    ethereum = Ethereum.at(l1_url)
    try:
        address = settlement or source.parameters.settlement
        contract = ContractAudit(SettlementReader(ethereum, address), findings)
        with _Progress(None) as progress:
            auditor = Auditor(source.parameters, contract.facts.operator, findings, contract, progress.show)
            report = auditor.run(source.read())
            source.compare_index()
    finally:
        ethereum.close()
        source.close()
    return _summarise(report, findings, address, settlement is not None)


class _Progress:
    """A counter on standard error, where somebody is there to see it."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._status = Console(stderr=True).status("auditing") if sys.stderr.isatty() else None

    def __enter__(self) -> "_Progress":
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def show(self, blocks: int) -> None:
        if self._status is not None:
            self._status.update(f"block {blocks}" + (f" of {self._total}" if self._total else ""))


def _summarise(report: Any, findings: Any, settlement: Address, is_pinned: bool) -> dict[str, Any]:
    return {
        "settlement": wire.encode_address(settlement),
        "pinned": is_pinned,
        "blocks": report.blocks,
        "payments": report.payments,
        "instructions": report.instructions,
        "deposits": report.deposits,
        "confirmedDeposits": report.confirmed_deposits,
        "epochs": report.epochs,
        "confirmedEpochs": report.confirmed_epochs,
        "replayed": report.is_replayed,
        "totals": {wire.encode_address(asset): hex(total) for asset, total in report.totals.items()},
        "remarks": findings.remarks,
        "disagreementCount": findings.count,
        "disagreements": [{"where": found.where, "what": found.what} for found in findings.kept],
    }


def _show_disagreement(found: Any) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"{found.where}: {found.what}", markup=False, style="red"
    )


def _show_summary(summary: dict[str, Any]) -> None:
    output.print_fields(
        [
            ("contract", summary["settlement"]),
            ("blocks", str(summary["blocks"])),
            ("payments", str(summary["payments"])),
            ("instructions", str(summary["instructions"])),
            ("deposits", f"{summary['deposits']}, {summary['confirmedDeposits']} confirmed by the contract"),
            ("epochs", f"{summary['epochs']}, {summary['confirmedEpochs']} stored by the contract"),
            ("balances and roots", "recomputed" if summary["replayed"] else "not all could be recomputed"),
            *[(f"total of {asset}", f"{int(total, 16)} base units") for asset, total in summary["totals"].items()],
        ]
    )
    for remark in summary["remarks"]:
        output.note(remark)
    if not summary["pinned"]:
        output.note("the ledger named that contract: compare it with the address you know, or give --settlement")
    count = summary["disagreementCount"]
    if count:
        output.print_line(f"{count} disagreements", "bold red")
    else:
        output.print_line("every root, total and signature agrees", "bold green")
