"""`make bench`: prints each row with its floor and its goal, and fails when a floor is not reached.

`make bench ARGS=explorer` measures one part, `ARGS='pipeline service'` two.
"""

import argparse
import os
import sys
from collections.abc import Callable
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.bare import measure_bare_recover
from benchmarks.explorer import PAYMENT_COUNT, measure_explorer
from benchmarks.pipeline import measure_pipeline
from benchmarks.service import measure_batches, measure_purchases, measure_single, start_service

_MIB: Final = 1 << 20
_PAGE_MS: Final = 50
"""Floor: that 19 of 20 pages are there."""
_PAGE_GOAL_MS: Final = 25

_PURCHASES: Final = 0.75
"""Floor: that purchases go through within 25 % of plain transfers."""
_PURCHASES_GOAL: Final = 0.9


class Report:
    def __init__(self) -> None:
        self.table = Table(title=f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the start")
        for column in ("what", "measured", "against", "ratio", "floor", "goal"):
            self.table.add_column(column, justify="left" if column == "what" else "right")
        self.shortfalls: list[str] = []

    def add_rate(self, what: str, rate: float, bare: float | None, floor: float, goal: float) -> None:
        """Of so much a second, or, where there is a yardstick, of it."""
        value = rate if bare is None else rate / bare
        against = "" if bare is None else f"{bare:,.0f}/s"
        shown = "" if bare is None else f"{value:.2f}"
        cells = (f"{rate:,.0f}/s", against, shown, f"{floor:,g}", f"{goal:,g}")
        self._add(what, cells, is_enough=value >= floor, is_good=value >= goal)

    def add_time(self, what: str, p50: float, p95: float, floor: float | None) -> None:
        """Milliseconds; without a floor it is only shown."""
        limits = ("", "") if floor is None else (f"p95 < {floor:g} ms", f"p95 < {_PAGE_GOAL_MS} ms")
        is_enough, is_good = floor is None or p95 < floor, floor is None or p95 < _PAGE_GOAL_MS
        self._add(what, (f"{p50:,.1f} / {p95:,.1f} ms", "", "", *limits), is_enough=is_enough, is_good=is_good)

    def add_size(self, what: str, size: int, floor: int, goal: int) -> None:
        """Bytes; the fewer the better."""
        cells = (f"{size / _MIB:.1f} MiB", "", "", f"< {floor // _MIB} MiB", f"< {goal // _MIB} MiB")
        self._add(what, cells, is_enough=size < floor, is_good=size < goal)

    def fail(self, what: str) -> None:
        self.shortfalls.append(what)

    def _add(self, what: str, cells: tuple[str, ...], *, is_enough: bool, is_good: bool) -> None:
        self.table.add_row(what, *cells, style="green" if is_good else "yellow" if is_enough else "red")
        if not is_enough:
            self.shortfalls.append(what)


def report_pipeline(report: Report) -> None:
    figures = measure_pipeline()
    what = "ledger pipeline, one core, batches of 500, against bare recover"
    report.add_rate(what, figures.transfers, figures.bare, 0.5, 0.65)
    what = "ledger pipeline, purchases by turns with transfers, against those"
    report.add_rate(what, figures.purchases, figures.transfers, _PURCHASES, _PURCHASES_GOAL)


def report_service(report: Report) -> None:
    with start_service() as service:
        measure_batches(service)  # a first round for files, caches and checksums that exist from then on
        batches, load = measure_batches(service)
        bare = measure_bare_recover(load)
        what = "JSON-RPC batches of 200, 5 connections, durable, against bare recover"
        report.add_rate(what, batches, bare, 0.55, 0.75)
        purchases, transfers = measure_purchases(service)
        what = "JSON-RPC batches of purchases by turns with transfers, against those"
        report.add_rate(what, purchases, transfers, _PURCHASES, _PURCHASES_GOAL)
        single = measure_single(service)
    if single is None:
        report.fail("wrk is not installed, so single requests were not measured (Debian: apt-get install wrk)")
    else:
        report.add_rate("one request a payment, 32 connections of wrk", single, None, 5_000, 8_000)


def report_explorer(report: Report) -> None:
    figures = measure_explorer()
    built = f"a ledger of {PAYMENT_COUNT:,} payments made, journal and index"
    report.add_rate(built, PAYMENT_COUNT / figures.build_seconds, None, 0, 10_000)
    for page in figures.pages:
        report.add_time(page.name, page.p50, page.p95, _PAGE_MS if page.is_bounded else None)
    export = figures.export
    report.add_rate(f"rows of a CSV file of {export.row_count:,}", export.rows_per_second, None, 2_000, 8_000)
    report.add_size("the server's memory while it sends the file: growth", export.growth, 32 * _MIB, 8 * _MIB)


_PARTS: Final[dict[str, Callable[[Report], None]]] = {
    "pipeline": report_pipeline,
    "service": report_service,
    "explorer": report_explorer,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(_PARTS) + "; all without any")
    parts: list[str] = parser.parse_args().parts or list(_PARTS)
    unknown = [part for part in parts if part not in _PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}: {', '.join(_PARTS)}")
    report = Report()
    for part in parts:
        _PARTS[part](report)
    console = Console()
    console.print(report.table)
    if report.shortfalls:
        console.print("below the floor: " + "; ".join(report.shortfalls))
        sys.exit(1)


if __name__ == "__main__":
    main()
