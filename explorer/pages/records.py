"""One record, its way to finality, and its receipt to print: a payment or deposit by itself, an instruction's in
`explorer.pages.instructions`."""

from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from chain import wire
from chain.errors import MalformedRequest, NotFound
from chain.primitives import Hash
from explorer.files import compute_days_paid, find_roles, read_files
from explorer.qr import draw_qr
from explorer.sentences import Part, PartyChange, PartyRoles, find_file, list_assets, list_changes, tell
from explorer.site import Site, get_origin
from explorer.status import Line
from node.index import IndexedDeposit, IndexedEpoch, IndexedFile, IndexedInstruction, IndexedPayment, IndexedRecord
from node.payment_status import PaymentStatus


class RecordView(msgspec.Struct, frozen=True):
    record: IndexedRecord
    line: Line
    sentence: tuple[Part, ...]
    changes: list[PartyChange]
    form: dict[str, Any]
    """The record in full, as JSON-RPC shows it: of a payment what `tally_getPayment` answers, of others their line of
    `tally_getBlock`."""
    file: IndexedFile | None
    """That it is about."""
    roles: PartyRoles | None
    """Of a payment of the data exchange."""
    days: int | None
    """Of storage that it pays for."""


async def show(site: Site, request: Request) -> Response:
    """`/tx/{id}`: of a payment or a deposit; an instruction has its own page. Raises `NotFound`, `Overloaded`."""
    view = await read_record(site, request.path_params["id"])
    if isinstance(view.record, IndexedInstruction):
        return RedirectResponse(f"/instruction/{wire.encode_bytes(view.record.id)}", 303)
    template = "deposit.html" if isinstance(view.record, IndexedDeposit) else "payment.html"
    return await site.show(request, template, view=view, is_settled=is_settled(site, view))


async def show_receipt(site: Site, request: Request) -> Response:
    """`/tx/{id}/receipt`: of a payment, for paper. Raises `NotFound`, `Overloaded`."""
    view = await read_record(site, request.path_params["id"])
    if not isinstance(view.record, IndexedPayment):
        raise NotFound("a payment's receipt")
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
        raise NotFound(f"a payment or instruction with the id {wire.encode_bytes(record_id)}")
    record, epoch, files = found
    if isinstance(record, IndexedPayment):
        form = await sources.archive.get_payment(record.id)
    else:
        form = await sources.archive.describe_record(record.block, record.record)
    file = find_file(record, files)
    roles = find_roles(record, file, sources.market)
    return RecordView(
        record=record,
        line=Line(record, epoch, sources.get_epoch(record.epoch), sources.get_due_at()),
        sentence=tell(record, files),
        changes=list_changes(record, roles),
        form=form,
        file=file,
        roles=roles,
        days=compute_days_paid(record, file, sources.market) if isinstance(record, IndexedPayment) else None,
    )


def is_settled(site: Site, view: RecordView) -> bool:
    """Whether its page will never change. A token may still say its name and its decimals."""
    tokens = site.tokens
    is_known = all(tokens[asset].is_known for asset in list_assets(view.sentence))
    return view.line.word is PaymentStatus.FINAL and is_known


def _find(site: Site, record_id: Hash) -> tuple[IndexedRecord, IndexedEpoch, dict[Hash, IndexedFile]] | None:
    index = site.sources.index
    record = index.get_record(record_id)
    epoch = None if record is None else index.get_epoch(record.epoch)
    return None if record is None or epoch is None else (record, epoch, read_files(index, [record]))
