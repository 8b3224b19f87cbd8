"""`make bench`: prints each row with its floor and its goal, and fails when a floor is not reached."""

import os
import sys

from rich.console import Console
from rich.table import Table

from benchmarks.bare import measure_bare_recover
from benchmarks.pipeline import measure_pipeline
from benchmarks.service import measure_batches, measure_single, start_service


def main() -> None:
    table = Table(title=f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the start")
    for column in ("what", "measured", "against", "ratio", "floor", "goal"):
        table.add_column(column, justify="left" if column == "what" else "right")
    shortfalls: list[str] = []

    def add(what: str, rate: float, bare: float | None, floor: float, goal: float) -> None:
        value = rate if bare is None else rate / bare
        against = "" if bare is None else f"{bare:,.0f}/s"
        shown = "" if bare is None else f"{value:.2f}"
        style = "green" if value >= goal else "yellow" if value >= floor else "red"
        table.add_row(what, f"{rate:,.0f}/s", against, shown, f"{floor:,g}", f"{goal:,g}", style=style)
        if value < floor:
            shortfalls.append(what)

    pipeline, bare = measure_pipeline()
    add("ledger pipeline, one core, batches of 500, against bare recover", pipeline, bare, 0.5, 0.65)
    with start_service() as service:
        measure_batches(service)  # a first round for files, caches and checksums that exist from then on
        batches, load = measure_batches(service)
        bare = measure_bare_recover(load)
        add("JSON-RPC batches of 200, 5 connections, durable, against bare recover", batches, bare, 0.55, 0.75)
        single = measure_single(service)
        if single is not None:
            add("one request a payment, 32 connections of wrk", single, None, 5_000, 8_000)
    console = Console()
    console.print(table)
    if single is None:
        console.print("wrk is not installed, so single requests were not measured (Debian: apt-get install wrk)")
        sys.exit(1)
    if shortfalls:
        console.print("below the floor: " + "; ".join(shortfalls))
        sys.exit(1)


if __name__ == "__main__":
    main()
