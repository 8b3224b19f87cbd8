"""An explorer whose every source but the index is a value of the test's: for pages that show what the node says."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from explorer.app import Explorer
from explorer.sources import Readers, Sources
from node.config import ExplorerConfig
from node.ethereum.change import Change
from node.ethereum.reserves import Reserves
from node.follower import Progress
from node.index import IndexReader, IndexWriter
from node.ledger_info import AssetInfo, LedgerInfo, Position
from node.operations import OperationsReport
from tests.unit.node.index.history import RandomLedger, apply

OPERATOR = bytes(range(20))
TOKEN = "correct-horse-battery-staple"


class Stage:
    def __init__(self, index: IndexReader, ledger: RandomLedger) -> None:
        self.ledger = ledger
        self.info = LedgerInfo(ledger.parameters, OPERATOR, lambda: Position(1, 0, 0, 0, 0))
        self.now = ledger.timestamp + 60_000
        self.reset()
        archive: Any = None  # no page here shows evidence
        get_purchase: Any = None
        self.sources = Sources(
            index=index,
            archive=archive,
            get_purchase=get_purchase,
            market=ledger.parameters.market,
            info=self.info,
            config=ExplorerConfig(l1_explorer_url="https://l1.example"),
            durable=Progress(),
            indexed=Progress(),
            commitments_change=Change(),
            get_epoch=lambda _: None,
            get_due_at=lambda: self.now + 5_000,
            get_reserves=lambda: self.reserves,
            report_operations=self._report,
            operator_token=None,
            report_health=lambda: (True, {"status": "ready", "checks": {}}),
            render_metrics=lambda: b"",
            clock_ms=lambda: self.now,
            readers=Readers(),
        )

    def reset(self) -> None:
        """Between two tests: what costs time to make stays."""
        for number, asset in enumerate(self.ledger.assets):
            self.info.take_asset(asset, AssetInfo(f"TOK{number}", 6))
        self.reserves = Reserves()
        self.operations: OperationsReport | None = None
        self.reports = 0
        """How often the operations were asked for."""

    @cached_property
    def explorer(self) -> Explorer:
        """Without an operator's page."""
        return Explorer(self.sources)

    @cached_property
    def guarded(self) -> Explorer:
        """With one, behind `TOKEN`."""
        values = {field: getattr(self.sources, field) for field in self.sources.__struct_fields__}
        return Explorer(Sources(**{**values, "operator_token": TOKEN}))

    async def _report(self) -> OperationsReport:
        assert self.operations is not None
        self.reports += 1
        return self.operations


@contextmanager
def open_stage(directory: Path) -> Iterator[Stage]:
    ledger = RandomLedger(3)
    ledger.run(20)
    path = directory / "index.sqlite"
    writer = IndexWriter(path, ledger.parameters.genesis_hash)
    apply(writer, ledger.entries)
    writer.close()
    index = IndexReader(path)
    stage = Stage(index, ledger)
    try:
        yield stage
    finally:
        stage.sources.readers.close()
        index.close()
