"""Epochs: the list of commitments with what they cost, and one with its roots, its way to Ethereum and its totals."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec
from fastapi import Request, Response

from chain.commitment import hash_commitment
from chain.errors import NotFound
from chain.primitives import Hash
from explorer.filters import encode_query
from explorer.formatting import GWEI
from explorer.listing import DEFAULT_LIMIT, MAX_LIMIT
from explorer.pages.blocks import decode_number, read_number
from explorer.pages.payments import Links
from explorer.site import Site, get_path
from explorer.status import EpochStage, compute_epoch_stage
from node.ethereum.submission import Attempt, EpochStatus, Inclusion
from node.index import AssetCounters, IndexedBlock, IndexedEpoch, Seal

BLOCKS_SHOWN: Final = 10


class EpochLine(msgspec.Struct, frozen=True):
    epoch: IndexedEpoch
    status: EpochStatus | None
    stage: EpochStage
    inclusion: Inclusion | None
    last_attempt: Attempt | None

    @property
    def fee_wei(self) -> int | None:
        """What the transaction cost that brought it to Ethereum, whoever sent it."""
        return None if self.inclusion is None else self.inclusion.gas_used * self.inclusion.effective_gas_price

    @property
    def cost_wei(self) -> int:
        """What all attempts of this node have cost."""
        return 0 if self.status is None else self.status.cost


class EpochList(msgspec.Struct, frozen=True):
    lines: list[EpochLine]
    links: Links


class EpochView(msgspec.Struct, frozen=True):
    line: EpochLine
    opened_at: int | None
    """Milliseconds: the time of its first block; None if it has none."""
    seal: Seal | None
    digest: Hash | None
    totals: tuple[AssetCounters, ...]
    """What it moved in each asset; of the open one: so far."""
    blocks: tuple[IndexedBlock, ...]
    """The last ones."""
    due_at: int
    has_next: bool


async def show_list(site: Site, request: Request) -> Response:
    """`/epochs`. Raises `MalformedRequest`."""
    epochs, links = await site.ask(lambda: _read_list(site, get_path(request), request.query_params))
    listed = EpochList(list_epoch_lines(epochs, site.sources.get_epoch), links)
    return await site.show(request, "epochs.html", listed=listed, due_at=site.sources.get_due_at())


async def show(site: Site, request: Request) -> Response:
    """`/epoch/{number}`. Raises `NotFound`."""
    text = request.path_params["epoch"]
    number = decode_number(text)
    view = None if number is None else await read_epoch(site, number)
    if view is None:
        raise NotFound(f"epoch {text[:80]}")
    # A token may still say its name and its decimals.
    is_known = all(site.tokens[line.asset].is_known for line in view.totals)
    status = view.line.status
    # Of an attempt that somebody else's transaction overtook it may be known later what became of it.
    is_settled = view.line.stage is EpochStage.FINAL and is_known and (status is None or status.is_settled)
    return await site.show(request, "epoch.html", view=view, gwei=GWEI, is_settled=is_settled)


async def read_epoch(site: Site, number: int) -> EpochView | None:
    index, sources = site.sources.index, site.sources
    status = sources.get_epoch(number)
    due_at = sources.get_due_at()

    def read() -> EpochView | None:
        epoch, totals = index.get_epoch(number), index.get_epoch_totals(number)
        if epoch is None or totals is None:
            return None
        first, seal = index.get_block(epoch.first_block), index.get_seal(number)
        has_blocks = epoch.last_block >= epoch.first_block
        return EpochView(
            line=_build_line(epoch, status),
            opened_at=first.timestamp if first is not None and has_blocks else None,
            seal=seal,
            digest=None if seal is None else hash_commitment(seal.commitment, sources.info.domain),
            totals=totals,
            blocks=tuple(index.list_blocks(epoch.last_block + 1, BLOCKS_SHOWN, epoch.first_block)),
            due_at=due_at,
            has_next=index.get_epoch(number + 1) is not None,
        )

    return await site.ask(read)


def list_epoch_lines(epochs: Iterable[IndexedEpoch], get_epoch: Callable[[int], EpochStatus | None]) -> list[EpochLine]:
    return [_build_line(epoch, get_epoch(epoch.number)) for epoch in epochs]


def _build_line(epoch: IndexedEpoch, status: EpochStatus | None) -> EpochLine:
    return EpochLine(
        epoch=epoch,
        status=status,
        stage=compute_epoch_stage(epoch, status),
        inclusion=None if status is None else status.inclusion,
        last_attempt=status.attempts[-1] if status is not None and status.attempts else None,
    )


def _read_list(site: Site, path: str, parameters: Mapping[str, str]) -> tuple[list[IndexedEpoch], Links]:
    """Epoch numbers have no gaps, so they are the cursors."""
    index = site.sources.index
    end = index.get_counters().epoch + 1
    given = read_number(parameters, "before", 2**62)
    before = end if given is None else max(2, min(given, end))  # the first epoch is always there
    limit = read_number(parameters, "limit", MAX_LIMIT) or DEFAULT_LIMIT
    epochs = index.list_epochs(before, limit)
    shown = {"limit": parameters["limit"]} if parameters.get("limit") else {}
    newer = min(before + limit, end)
    first_page = path + encode_query(shown)

    def link(number: int) -> str:
        return path + encode_query({**shown, "before": str(number)})

    return epochs, Links(
        first=first_page if before < end else "",
        previous="" if before >= end else first_page if newer == end else link(newer),
        next=link(epochs[-1].number) if epochs and epochs[-1].number > 1 else "",
    )
