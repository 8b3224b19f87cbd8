"""One payment or deposit, its way to finality, and its receipt to print."""

from typing import Any

import msgspec
from fastapi import Request, Response

from chain import wire
from chain.errors import MalformedRequest, NotFound
from chain.primitives import Hash
from explorer.qr import draw_qr
from explorer.sentences import Part, PartyChange, list_changes, tell
from explorer.site import Site, get_origin
from explorer.status import Line
from node.index import IndexedDeposit, IndexedEpoch, IndexedRecord
from node.payment_status import PaymentStatus


class RecordView(msgspec.Struct, frozen=True):
    record: IndexedRecord
    line: Line
    sentence: tuple[Part, ...]
    changes: list[PartyChange]
    form: dict[str, Any]
    """The record in full, as JSON-RPC shows it: of a payment what `tally_getPayment` answers, of a deposit its line of
    `tally_getBlock`."""


async def show(site: Site, request: Request) -> Response:
    """`/tx/{id}`: of a payment or a deposit. Raises `NotFound`, `Overloaded`."""
    view = await read_record(site, request.path_params["id"])
    # A token may still say its name and its decimals.
    is_settled = view.line.word is PaymentStatus.FINAL and site.tokens[view.record.asset].is_known
    if isinstance(view.record, IndexedDeposit):
        return await site.show(request, "deposit.html", view=view, is_settled=is_settled)
    return await site.show(request, "payment.html", view=view, is_settled=is_settled)


async def show_receipt(site: Site, request: Request) -> Response:
    """`/tx/{id}/receipt`: for paper. Raises `NotFound` (also for a deposit), `Overloaded`."""
    view = await read_record(site, request.path_params["id"])
    if isinstance(view.record, IndexedDeposit):
        raise NotFound("a receipt of a deposit")
    receipt = msgspec.json.decode(msgspec.json.encode(await site.sources.archive.get_receipt(view.record.id)))
    address = f"{get_origin(request)}/verify#{wire.encode_bytes(view.record.id)}"
    return await site.show(
        request, "receipt.html", view=view, receipt=receipt, verify_url=address,
        code=draw_qr(address, "Verify this receipt"),
    )  # fmt: skip


async def read_record(site: Site, text: str) -> RecordView:
    """Raises `NotFound`, also for what is no id, and `Overloaded`."""
    try:
        record_id = wire.decode_hash(text, "id")
    except MalformedRequest:
        raise NotFound(f"{text[:80]}, which is not an id of 64 hexadecimal digits,") from None
    sources = site.sources
    found = await site.find(lambda: _find(site, record_id))
    if found is None:
        raise NotFound(f"a payment with the id {wire.encode_bytes(record_id)}")
    record, epoch = found
    if isinstance(record, IndexedDeposit):
        form = await sources.archive.describe_record(record.block, record.record)
    else:
        form = await sources.archive.get_payment(record.id)
    return RecordView(
        record=record,
        line=Line(record, epoch, sources.get_epoch(record.epoch), sources.get_due_at()),
        sentence=tell(record),
        changes=list_changes(record),
        form=form,
    )


def _find(site: Site, record_id: Hash) -> tuple[IndexedRecord, IndexedEpoch] | None:
    record = site.sources.index.get_record(record_id)
    epoch = None if record is None else site.sources.index.get_epoch(record.epoch)
    return None if record is None or epoch is None else (record, epoch)
