"""Reserves: what the contract holds against what the ledger owes, as it was last read from Ethereum."""

from collections.abc import Sequence
from typing import Final

import msgspec
from fastapi import Request, Response

from explorer.site import Site
from node.ethereum.reserves import AssetReserves, FaultKind, Reserves, Verdict

BAR_WIDTH: Final = 1000
"""Of a bar's drawing; its units mean nothing else."""

_FAULTS: Final = {
    FaultKind.OUT_OF_REACH: "Ethereum is out of reach",
    FaultKind.REFUSED: "the Ethereum endpoint answers with an error",
    FaultKind.ENDPOINT_BEHIND: "the Ethereum endpoint lags",
    FaultKind.INDEX_BEHIND: "the index of the ledger lags",
    FaultKind.REPLACED: "Ethereum replaced the block while it was read",
    FaultKind.WRONG_DEPLOYMENT: "the Ethereum endpoint serves another chain, or another contract",
}
"""What everybody may know. What the endpoint said is on the operator's page."""


class Segment(msgspec.Struct, frozen=True):
    """A piece of a bar."""

    name: str
    start: int
    width: int


class AssetView(msgspec.Struct, frozen=True):
    line: AssetReserves
    owed: tuple[Segment, ...]
    """What is owed, in its parts."""
    there: tuple[Segment, ...]
    """What the contract has, to the same scale."""


class ReservesView(msgspec.Struct, frozen=True):
    state: Reserves
    assets: tuple[AssetView, ...]

    @property
    def problem(self) -> str:
        """Of the last reading; empty if there was none."""
        return "" if self.state.fault is None else _FAULTS[self.state.fault.kind]

    @property
    def covered_count(self) -> int:
        return len([asset for asset in self.assets if asset.line.verdict is Verdict.COVERED])


async def show(site: Site, request: Request) -> Response:
    """`/reserves`: the last reading, however old; Ethereum is not asked for a page."""
    return await site.show(request, "reserves.html", view=view_reserves(site.sources.get_reserves()))


def view_reserves(state: Reserves) -> ReservesView:
    lines = () if state.reading is None else state.reading.lines
    return ReservesView(state, tuple([_view_asset(line) for line in lines]))


def _view_asset(line: AssetReserves) -> AssetView:
    balance = line.held if line.balance is None else line.balance
    scale = max(line.owed, balance)
    owed = [
        ("balances", line.balances),
        ("unclaimed", max(0, line.unclaimed)),
        ("uncredited", max(0, line.uncredited)),
    ]
    there = [("held", line.payable), ("surplus", line.surplus), ("missing", line.shortfall)]
    return AssetView(line, _draw(owed, scale), _draw(there, scale))


def _draw(parts: Sequence[tuple[str, int]], scale: int) -> tuple[Segment, ...]:
    """Each part's edges are rounded down from the exact sums, so that the bar is never longer than its scale."""
    segments, total = [], 0
    for name, amount in parts:
        start, end = (BAR_WIDTH * edge // scale if scale else 0 for edge in (total, total + amount))
        total += amount
        if end > start:
            segments.append(Segment(name, start, min(end, BAR_WIDTH) - start))
    return tuple(segments)
