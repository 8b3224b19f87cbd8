"""`/api/v1`: everything that the pages show, for programs. Its document is at `/api/v1/openapi.json`.

Lists are those of the pages, with the same filters and cursors. What is asked of the index is put into words and bytes
beside the event loop, in the same thread.
"""

import asyncio
import inspect
from functools import partial
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request, Response

from chain import wire
from chain.errors import MalformedRequest, NotFound
from chain.instruction import MAX_TAGS
from chain.kinds import KIND_CODES, PURCHASE
from chain.market import OWNER, ROLE_BITS
from chain.primitives import MAX_U64
from chain.registry import RegistryKey, encode_account_key, encode_file_key
from explorer import exports, files, filters
from explorer.api import etherscan, forms
from explorer.api.http import METHODS, answering, read_pairs, read_parameters, say, take_number
from explorer.api.openapi import Endpoint, Parameter, address, choice, describe, digest, text, time, whole_number
from explorer.files import FileQuery, describe_line, read_file_query, read_files
from explorer.filters import read_filter
from explorer.headers import IMMUTABLE, LIVE, SETTLED
from explorer.listing import MAX_LIMIT, read_cursor, read_slice
from explorer.pages.accounts import FILE_PARAMETERS
from explorer.pages.participants import read_role
from explorer.pages.search import find, find_files, name_file
from explorer.pages.statements import read_query
from explorer.sentences import list_assets, tell
from explorer.site import Site
from explorer.status import EpochStage
from node import __version__
from node.ethereum.submission import EpochState, EpochStatus
from node.index import (
    ACTIVITY_LENGTHS,
    IndexedBlock,
    IndexedDeposit,
    IndexedInstruction,
    IndexedPayment,
    PaymentFilter,
    TimeSpan,
    encode_cursor,
    encode_deposit_cursor,
    encode_file_cursor,
    encode_instruction_cursor,
    encode_registration_cursor,
)
from node.payment_status import PaymentStatus

PREFIX: Final = "/api/v1"

DEFAULT_LIMIT: Final = 25

MAX_ACTIVITY: Final = 1_000
"""Rows of activity in one answer."""

MAX_TAG_ROWS: Final = 1_000
"""Tags in one answer."""

MAX_QUERY: Final = 200
"""Characters of a search."""

_LENGTHS: Final = dict(zip(("minute", "hour", "day"), ACTIVITY_LENGTHS, strict=True))
_SPANS_SHOWN: Final = {"minute": 60, "hour": 48, "day": 90}
"""Spans before now that are shown when nothing else is asked for."""


_DESCRIPTION: Final = """\
Reads the ledger. Nothing can be changed here: payments and instructions are sent by JSON-RPC (`tally_sendPayment`,
`tally_sendInstruction`, `tally_sendUpload`).

Integers are `0x` hex quantities without leading zeros, times are milliseconds since 1970 unless a field says seconds,
amounts are base units of the asset. Addresses come with their checksum and are taken in any case. Parameters that are
empty count as absent; those that are not known are refused.

A payment is `accepted` (on the ledger, receipted), `committed` (its epoch is on Ethereum) or `final` (its epoch can not
be questioned any more). What is final never changes: such answers carry an ETag and may be kept; all others may not.

Errors are `{"error": {"code", "message"}}` with the names that JSON-RPC has for them.\
"""


def make_router(site: Site) -> APIRouter:
    router = APIRouter()
    for endpoint in ENDPOINTS:
        if endpoint.answer is not None:
            router.add_route(endpoint.path, answering(partial(endpoint.answer, site)), methods=METHODS)
    document = msgspec.json.encode(describe(ENDPOINTS, _DESCRIPTION))

    async def show_document(request: Request) -> Response:
        return say(document, request, SETTLED)

    router.add_route(f"{PREFIX}/openapi.json", answering(show_document), methods=METHODS)
    return router


# --- the ledger


async def show_ledger(site: Site, request: Request) -> Response:
    read_parameters(request, ())
    _, health = site.sources.report_health()
    info = {"name": "tallystick", "version": __version__, **site.sources.info.describe(), "status": health["status"]}
    counters = await site.ask(site.sources.index.get_counters)
    return say(msgspec.json.encode({**info, "counters": forms.build_totals(counters)}), request)


async def show_reserves(site: Site, request: Request) -> Response:
    read_parameters(request, ())
    return say(msgspec.json.encode(forms.build_reserves(site.sources.get_reserves())), request)


async def show_activity(site: Site, request: Request) -> Response:
    parameters = read_parameters(request, ("length", "since", "limit"))
    name = parameters.get("length", "hour")
    if name not in _LENGTHS:
        raise MalformedRequest("length: minute, hour or day")
    length, limit = _LENGTHS[name], take_number(parameters, "limit", MAX_ACTIVITY, 32, MAX_ACTIVITY)
    if "since" in parameters:
        since = filters.decode_first_second(parameters["since"], "since") * 1000
    else:
        since = max(0, site.sources.clock_ms() - _SPANS_SHOWN[name] * length)
    since -= since % length

    def read() -> bytes:
        found = site.sources.index.list_activity(length, since, limit + 1)
        following = None
        if len(found) > limit:
            # The span that is cut in two begins the next answer. There are at most 32 assets: some span is whole.
            following = found[-1].start
            found = [activity for activity in found if activity.start < following]
        answer = forms.ActivityAnswer(
            length=hex(length),
            items=tuple([forms.build_activity(activity) for activity in found]),
            next=None if following is None else hex(following // 1000),
        )
        return msgspec.json.encode(answer)

    return say(await site.ask(read), request)


async def search(site: Site, request: Request) -> Response:
    words = read_parameters(request, ("q",)).get("q", "")
    if not 0 < len(words) <= MAX_QUERY:
        raise MalformedRequest(f"q: what is sought, 1 to {MAX_QUERY} letters")
    hits = await find(site, words)
    files = () if hits else await find_files(site, words)
    named = [name_file(file) for file in files]
    matches, others = [tuple([forms.Match(name=hit.name, path=hit.path) for hit in each]) for each in (hits, named)]
    return say(msgspec.json.encode(forms.SearchAnswer(query=words, matches=matches, files=others)), request)


# --- payments and deposits


async def list_payments(site: Site, request: Request) -> Response:
    parameters = read_parameters(request, (*filters.NAMES, "before", "after", "limit"))
    return await _say_payments(site, request, read_filter(parameters, site.sources.commitments).wanted, parameters)


async def show_payment(site: Site, request: Request) -> Response:
    read_parameters(request, ())
    payment_id = wire.decode_hash(request.path_params["id"], "id")
    index, sources = site.sources.index, site.sources
    payment = await site.find(lambda: index.get_record(payment_id))
    if not isinstance(payment, IndexedPayment):
        raise NotFound(f"payment {wire.encode_bytes(payment_id)}")
    named = await site.ask(lambda: read_files(index, [payment]))
    details = await sources.archive.get_payment(payment_id)
    tokens = site.tokens
    answer = forms.build_payment_answer(payment, sources.commitments, tokens, named, sources.market, details)
    is_settled = answer.status is PaymentStatus.FINAL and tokens[payment.asset].is_known
    return say(msgspec.json.encode(answer), request, SETTLED if is_settled else LIVE)


async def show_receipt(site: Site, request: Request) -> Response:
    read_parameters(request, ())
    payment_id = wire.decode_hash(request.path_params["id"], "id")
    receipt = await site.sources.archive.get_receipt(payment_id)
    if "payment" not in receipt:
        raise NotFound(f"payment {wire.encode_bytes(payment_id)}")
    return say(msgspec.json.encode(receipt), request, _keep_receipt(receipt))


async def prove_payment(site: Site, request: Request) -> Response:
    read_parameters(request, ())
    payment_id = wire.decode_hash(request.path_params["id"], "id")
    proof = await site.sources.archive.prove_payment(payment_id)
    return say(msgspec.json.encode(proof), request, _keep_receipt(proof["receipt"]))


async def list_deposits(site: Site, request: Request) -> Response:
    parameters = read_parameters(request, ("account", "before", "after", "limit"))
    account = wire.decode_address(parameters["account"], "account") if "account" in parameters else None
    cursor = read_cursor(parameters, DEFAULT_LIMIT)
    commitments, tokens, index = site.sources.commitments, site.tokens, site.sources.index

    def read() -> bytes:
        part = read_slice(partial(index.list_deposits, account), encode_deposit_cursor, cursor)
        items = tuple([forms.build_deposit(deposit, commitments, tokens) for deposit in part.rows])
        return msgspec.json.encode(forms.DepositList(items=items, newer=part.newer, older=part.older))

    return say(await site.ask(read), request)


async def show_deposit(site: Site, request: Request) -> Response:
    read_parameters(request, ())
    deposit_id = wire.decode_hash(request.path_params["id"], "id")
    deposit = await site.find(lambda: site.sources.index.get_record(deposit_id))
    if not isinstance(deposit, IndexedDeposit):
        raise NotFound(f"deposit {wire.encode_bytes(deposit_id)}")
    tokens = site.tokens
    answer = forms.build_deposit(deposit, site.sources.commitments, tokens)
    is_settled = answer.status is PaymentStatus.FINAL and tokens[deposit.asset].is_known
    return say(msgspec.json.encode(answer), request, SETTLED if is_settled else LIVE)


# --- files


async def list_files(site: Site, request: Request) -> Response:
    pairs = read_pairs(request, (*files.NAMES, "before", "after", "limit"), files.REPEATED)
    return await _say_files(site, request, read_file_query(pairs), dict(pairs))


async def show_file(site: Site, request: Request) -> Response:
    read_parameters(request, ())
    file_id = wire.decode_hash(request.path_params["file"], "file")
    file = await site.find(lambda: site.sources.index.get_file(file_id))
    if file is None:
        raise NotFound(f"file {wire.encode_bytes(file_id)}")
    line = describe_line(file, site.sources.market, site.sources.clock_ms())
    return say(msgspec.json.encode(forms.build_file(line)), request)


async def list_prices(site: Site, request: Request) -> Response:
    parameters = read_parameters(request, ("before", "limit"))
    file, index = await _find_file(site, request), site.sources.index
    cursor = read_cursor(parameters, DEFAULT_LIMIT)

    def read() -> bytes:
        page = index.list_prices(file, cursor.before, cursor.limit)
        items = tuple([forms.build_price(price) for price in page.items])
        return msgspec.json.encode(forms.PriceList(items=items, older=page.cursor))

    return say(await site.ask(read), request)


async def list_sales(site: Site, request: Request) -> Response:
    parameters = read_parameters(request, ("before", "after", "limit"))
    wanted = PaymentFilter(reference=await _find_file(site, request), kind=PURCHASE)
    return await _say_payments(site, request, wanted, parameters)


async def show_purchase(site: Site, request: Request) -> Response:
    read_parameters(request, ())
    file = wire.decode_hash(request.path_params["file"], "file")
    buyer = wire.decode_address(request.path_params["buyer"], "buyer")
    # Not kept: the key is sealed anew each time.
    return say(msgspec.json.encode(await site.sources.get_purchase(file, buyer)), request)


async def prove_file(site: Site, request: Request) -> Response:
    file = wire.decode_hash(request.path_params["file"], "file")
    return await _say_registry_proof(site, request, encode_file_key(file))


async def list_tags(site: Site, request: Request) -> Response:
    parameters = read_parameters(request, ("limit",))
    limit = take_number(parameters, "limit", MAX_LIMIT, 1, MAX_TAG_ROWS)
    tags = await site.ask(lambda: site.sources.index.list_tags(limit))
    items = tuple([forms.TagItem(tag=each.tag, file_count=hex(each.count)) for each in tags])
    return say(msgspec.json.encode(forms.TagList(items=items)), request)


# --- who takes part


async def list_registrations(site: Site, request: Request) -> Response:
    parameters = read_parameters(request, ("role", "validator", "before", "after", "limit"))
    validator = wire.decode_address(parameters["validator"], "validator") if "validator" in parameters else None
    return await _say_registrations(site, request, read_role(parameters), validator, parameters)


async def list_owners(site: Site, request: Request) -> Response:
    parameters = read_parameters(request, ("before", "after", "limit"))
    validator = wire.decode_address(request.path_params["address"], "address")
    return await _say_registrations(site, request, OWNER, validator, parameters)


async def show_roles(site: Site, request: Request) -> Response:
    read_parameters(request, ())
    account = wire.decode_address(request.path_params["address"], "address")
    index = site.sources.index
    roles, owner_count = await site.ask(
        lambda: (index.get_registrations(account), index.count_registrations(OWNER, account))
    )
    answer = forms.RolesAnswer(
        address=wire.encode_address(account),
        roles=tuple([forms.build_registration(each) for each in roles]),
        owner_count=hex(owner_count),
    )
    return say(msgspec.json.encode(answer), request)


async def prove_roles(site: Site, request: Request) -> Response:
    account = wire.decode_address(request.path_params["address"], "address")
    return await _say_registry_proof(site, request, encode_account_key(account))


async def show_earnings(site: Site, request: Request) -> Response:
    read_parameters(request, ())
    account = wire.decode_address(request.path_params["address"], "address")
    earnings = await site.ask(lambda: site.sources.index.get_earnings(account))
    answer = forms.EarningsAnswer(
        address=wire.encode_address(account), items=tuple([forms.build_earnings(each) for each in earnings])
    )
    return say(msgspec.json.encode(answer), request)


async def list_files_of_account(site: Site, request: Request) -> Response:
    parameters = read_parameters(request, ("as", "before", "after", "limit"))
    account = wire.decode_address(request.path_params["address"], "address")
    role = parameters.get("as", OWNER)
    if role not in FILE_PARAMETERS:
        raise MalformedRequest(f"as: one of: {' '.join(FILE_PARAMETERS)}")
    query = read_file_query([], **{FILE_PARAMETERS[role]: wire.encode_address(account), "status": files.ALL})
    return await _say_files(site, request, query, parameters)


# --- instructions


async def list_instructions(site: Site, request: Request) -> Response:
    parameters = read_parameters(request, ("account", "file", "before", "after", "limit"))
    account = wire.decode_address(parameters["account"], "account") if "account" in parameters else None
    file = wire.decode_hash(parameters["file"], "file") if "file" in parameters else None
    return await _say_instructions(site, request, account, file, parameters)


async def list_instructions_of_account(site: Site, request: Request) -> Response:
    parameters = read_parameters(request, ("before", "after", "limit"))
    account = wire.decode_address(request.path_params["address"], "address")
    return await _say_instructions(site, request, account, None, parameters)


async def show_instruction(site: Site, request: Request) -> Response:
    read_parameters(request, ())
    instruction, receipt = await _find_instruction(site, request)
    index, tokens = site.sources.index, site.tokens
    named = await site.ask(lambda: read_files(index, [instruction]))
    answer = forms.build_instruction_answer(instruction, site.sources.commitments, tokens, named, receipt)
    is_known = all(tokens[asset].is_known for asset in list_assets(tell(instruction, named)))
    is_settled = answer.status is PaymentStatus.FINAL and is_known
    return say(msgspec.json.encode(answer), request, SETTLED if is_settled else LIVE)


async def show_instruction_receipt(site: Site, request: Request) -> Response:
    read_parameters(request, ())
    _, receipt = await _find_instruction(site, request)
    return say(msgspec.json.encode(receipt), request, _keep_receipt(receipt))


# --- accounts


async def show_account(site: Site, request: Request) -> Response:
    read_parameters(request, ())
    account = wire.decode_address(request.path_params["address"], "address")
    index = site.sources.index
    holdings, roles = await site.ask(lambda: (index.get_holdings(account), index.get_registrations(account)))
    validators = [wire.encode_address(each.validator) for each in roles if each.validator is not None]
    answer = forms.AccountAnswer(
        address=wire.encode_address(account),
        holdings=tuple([forms.build_holding(holding) for holding in holdings]),
        roles=tuple([each.role for each in roles]),
        owner_under=validators[0] if validators else None,
    )
    return say(msgspec.json.encode(answer), request)


async def show_statement(site: Site, request: Request) -> Response:
    parameters = read_parameters(request, ("asset", "epoch", "from", "to", "cursor", "limit"))
    account = wire.decode_address(request.path_params["address"], "address")
    if "asset" not in parameters:
        raise MalformedRequest("asset: of which one?")
    query = read_query(parameters, site, None)
    limit = take_number(parameters, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
    index, asset, period = site.sources.index, query.asset, query.period
    span = period if isinstance(period, TimeSpan) else TimeSpan()

    def read() -> bytes | None:
        totals = index.get_statement_totals(account, asset, period)
        if totals is None:
            return None
        page = index.list_entries(account, asset, period, parameters.get("cursor"), limit)
        entries = []
        for entry in page.items:
            record = index.get_record_at(entry.block, entry.record)
            assert record is not None
            entries.append(forms.build_entry(entry, record.timestamp))
        answer = forms.StatementAnswer(
            address=wire.encode_address(account),
            asset=wire.encode_address(asset),
            epoch=hex(period) if isinstance(period, int) else None,
            from_=None if span.from_s is None else hex(span.from_s),
            to=None if span.to_s is None else hex(span.to_s),
            **forms.describe_statement_sums(totals),
            entries=tuple(entries),
            cursor=page.cursor,
        )
        return msgspec.json.encode(answer)

    body = await site.find(read)
    if body is None:
        raise NotFound(f"epoch {period}")
    is_settled = isinstance(period, int) and period <= site.sources.commitments.final_epoch
    return say(body, request, SETTLED if is_settled else LIVE)


async def prove_account(site: Site, request: Request) -> Response:
    parameters = read_parameters(request, ("asset", "epoch"))
    account = wire.decode_address(request.path_params["address"], "address")
    asset = wire.decode_address(parameters.get("asset", ""), "asset")
    name = parameters.get("epoch", "latest")
    epoch = site.sources.info.position.sealed_epoch if name == "latest" else _decode_number(name, "epoch")
    proof = await site.sources.archive.prove_account(account, asset, epoch)
    is_kept = name != "latest" and epoch <= site.sources.commitments.final_epoch
    return say(msgspec.json.encode(proof), request, IMMUTABLE if is_kept else LIVE)


# --- blocks and epochs


async def list_blocks(site: Site, request: Request) -> Response:
    parameters = read_parameters(request, ("before", "after", "limit"))
    commitments, index = site.sources.commitments, site.sources.index

    def read() -> bytes:
        low, high, newer, older = _cut_numbers(parameters, index.get_counters().block)
        blocks = index.list_blocks(high + 1, high - low + 1, low) if low <= high else []
        items = tuple([forms.build_block(block, commitments) for block in blocks])
        return msgspec.json.encode(forms.BlockList(items=items, newer=newer, older=older))

    return say(await site.ask(read), request)


async def show_block(site: Site, request: Request) -> Response:
    read_parameters(request, ())
    name = request.path_params["block"]
    block = await _find_block(site, name)
    answer = forms.build_block(block, site.sources.commitments)
    is_settled = name != "latest" and answer.status is PaymentStatus.FINAL
    return say(msgspec.json.encode(answer), request, SETTLED if is_settled else LIVE)


async def list_records(site: Site, request: Request) -> Response:
    parameters = read_parameters(request, ("start", "limit"))
    start = take_number(parameters, "start", 0, 0, 2**32)
    limit = take_number(parameters, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
    name = request.path_params["block"]
    block = await _find_block(site, name)
    commitments, tokens, index = site.sources.commitments, site.tokens, site.sources.index

    def read() -> tuple[bytes, bool]:
        records = index.list_records(block.number, start, limit)
        end, named = start + len(records), read_files(index, records)
        items = tuple([forms.build_record(record, commitments, tokens, named) for record in records])
        answer = forms.RecordList(items=items, next=hex(end) if records and end < block.record_count else None)
        assets = {asset for record in records for asset in list_assets(tell(record, named))}
        return msgspec.json.encode(answer), all(tokens[asset].is_known for asset in assets)

    body, is_known = await site.ask(read)
    is_final = commitments.compute_status(block.epoch) is PaymentStatus.FINAL
    return say(body, request, SETTLED if name != "latest" and is_final and is_known else LIVE)


async def list_epochs(site: Site, request: Request) -> Response:
    parameters = read_parameters(request, ("before", "after", "limit"))
    index = site.sources.index

    def read() -> tuple[Any, ...]:
        low, high, newer, older = _cut_numbers(parameters, index.get_counters().epoch)
        epochs = index.list_epochs(high + 1, high - low + 1) if low <= high else []
        return epochs, newer, older

    epochs, newer, older = await site.ask(read)
    items = []
    for epoch in epochs:
        items.append(forms.build_epoch(epoch, site.sources.get_epoch(epoch.number)))
        await asyncio.sleep(0)  # each costs several reads of the committer's file; payments come first
    return say(msgspec.json.encode(forms.EpochList(items=tuple(items), newer=newer, older=older)), request)


async def show_epoch(site: Site, request: Request) -> Response:
    read_parameters(request, ())
    name, index = request.path_params["epoch"], site.sources.index
    number = None if name == "open" else _pick_epoch(site, name)

    def read() -> tuple[Any, ...] | None:
        epoch = index.get_epoch(index.get_counters().epoch if number is None else number)
        totals = None if epoch is None else index.get_epoch_totals(epoch.number)
        return None if epoch is None or totals is None else (epoch, totals)

    found = await site.find(read)
    if found is None:
        raise NotFound(f"epoch {name[:20]}")
    epoch, totals = found
    status: EpochStatus | None = site.sources.get_epoch(epoch.number)
    answer = forms.build_epoch_answer(epoch, status, totals)
    is_settled = name.isdecimal() and answer.stage is EpochStage.FINAL and status is not None and status.is_settled
    return say(msgspec.json.encode(answer), request, SETTLED if is_settled else LIVE)


async def show_commitment(site: Site, request: Request) -> Response:
    read_parameters(request, ())
    epoch = _pick_epoch(site, request.path_params["epoch"])
    # Also of a final epoch: its confirmations go on.
    return say(msgspec.json.encode(await site.sources.archive.describe_commitment(epoch)), request)


async def list_commitments(site: Site, request: Request) -> Response:
    parameters = read_parameters(request, ("before", "after", "limit"))
    low, high, newer, older = _cut_numbers(parameters, site.sources.info.position.sealed_epoch)
    items = [await site.sources.archive.describe_commitment(epoch) for epoch in range(high, low - 1, -1)]
    return say(msgspec.json.encode({"items": items, "newer": newer, "older": older}), request)


# --- lists that several paths show


async def _say_payments(site: Site, request: Request, wanted: PaymentFilter, parameters: dict[str, str]) -> Response:
    commitments, tokens, index = site.sources.commitments, site.tokens, site.sources.index
    cursor = read_cursor(parameters, DEFAULT_LIMIT)

    def read() -> bytes:
        part = read_slice(partial(index.list_payments, wanted), encode_cursor, cursor)
        named = read_files(index, part.rows)
        items = tuple([forms.build_payment(payment, commitments, tokens, named) for payment in part.rows])
        return msgspec.json.encode(forms.PaymentList(items=items, newer=part.newer, older=part.older))

    return say(await site.ask(read), request)


async def _say_files(site: Site, request: Request, query: FileQuery, parameters: dict[str, str]) -> Response:
    index, market, now = site.sources.index, site.sources.market, site.sources.clock_ms()
    cursor = read_cursor(parameters, DEFAULT_LIMIT)

    def read() -> bytes:
        part = read_slice(partial(index.list_files, query.wanted), encode_file_cursor, cursor)
        items = tuple([forms.build_file(describe_line(file, market, now)) for file in part.rows])
        return msgspec.json.encode(forms.FileList(items=items, newer=part.newer, older=part.older))

    return say(await site.ask(read), request)


async def _say_registrations(
    site: Site, request: Request, role: str | None, validator: bytes | None, parameters: dict[str, str]
) -> Response:
    index, cursor = site.sources.index, read_cursor(parameters, DEFAULT_LIMIT)

    def read() -> bytes:
        part = read_slice(partial(index.list_registrations, role, validator), encode_registration_cursor, cursor)
        answer = forms.RegistrationList(
            items=tuple([forms.build_registration(each) for each in part.rows]),
            count=hex(index.count_registrations(role, validator)),
            newer=part.newer,
            older=part.older,
        )
        return msgspec.json.encode(answer)

    return say(await site.ask(read), request)


async def _say_instructions(
    site: Site, request: Request, account: bytes | None, file: bytes | None, parameters: dict[str, str]
) -> Response:
    commitments, tokens, index = site.sources.commitments, site.tokens, site.sources.index
    cursor = read_cursor(parameters, DEFAULT_LIMIT)

    def read() -> bytes:
        part = read_slice(partial(index.list_instructions, account, file), encode_instruction_cursor, cursor)
        named = read_files(index, part.rows)
        items = tuple([forms.build_instruction(each, commitments, tokens, named) for each in part.rows])
        return msgspec.json.encode(forms.InstructionList(items=items, newer=part.newer, older=part.older))

    return say(await site.ask(read), request)


async def _say_registry_proof(site: Site, request: Request, key: RegistryKey) -> Response:
    parameters = read_parameters(request, ("epoch",))
    name = parameters.get("epoch", "latest")
    epoch = site.sources.info.position.sealed_epoch if name == "latest" else _decode_number(name, "epoch")
    proof = await site.sources.archive.prove_entry(key, epoch)
    is_kept = name != "latest" and epoch <= site.sources.commitments.final_epoch
    return say(msgspec.json.encode(proof), request, IMMUTABLE if is_kept else LIVE)


# --- how it is found


async def _find_file(site: Site, request: Request) -> bytes:
    """The id of a file that is there. Raises `MalformedRequest`, `NotFound`."""
    file_id = wire.decode_hash(request.path_params["file"], "file")
    if await site.find(lambda: site.sources.index.get_file(file_id)) is None:
        raise NotFound(f"file {wire.encode_bytes(file_id)}")
    return file_id


async def _find_instruction(site: Site, request: Request) -> tuple[IndexedInstruction, dict[str, Any]]:
    """With its receipt. Raises `MalformedRequest`, `NotFound`."""
    instruction_id = wire.decode_hash(request.path_params["id"], "id")
    instruction = await site.find(lambda: site.sources.index.get_record(instruction_id))
    if not isinstance(instruction, IndexedInstruction):
        raise NotFound(f"instruction {wire.encode_bytes(instruction_id)}")
    return instruction, await site.sources.archive.get_receipt(instruction_id)


async def _find_block(site: Site, name: str) -> IndexedBlock:
    """By number, hash, or `latest`. Raises `MalformedRequest`, `NotFound`."""
    index = site.sources.index
    if name == "latest":
        block = await site.find(lambda: index.get_block(index.get_counters().block))
    elif len(name) == 66:
        block_hash = wire.decode_hash(name, "block")
        block = await site.find(lambda: index.find_block(block_hash))
    else:
        block_number = _decode_number(name, "block")
        block = await site.find(lambda: index.get_block(block_number))
    if block is None:
        raise NotFound(f"block {name}")
    return block


def _pick_epoch(site: Site, name: str) -> int:
    """A number, `latest` (sealed) or `final`. Raises `MalformedRequest`."""
    if name == "latest":
        return site.sources.info.position.sealed_epoch
    return site.sources.commitments.final_epoch if name == "final" else _decode_number(name, "epoch")


def _decode_number(name: str, what: str) -> int:
    """Decimal or `0x` hex. Raises `MalformedRequest`."""
    return wire.decode_quantity(name, what, MAX_U64)


def _cut_numbers(parameters: dict[str, str], newest: int) -> tuple[int, int, str | None, str | None]:
    """The first and the last number that a list shows, and its cursors. Numbers count from 1 without a gap, so they are
    cursors themselves. Raises `MalformedRequest`."""
    cursor = read_cursor(parameters, DEFAULT_LIMIT)
    if cursor.after is not None:
        low = min(_decode_number(cursor.after, "after"), newest) + 1
        high = min(low + cursor.limit - 1, newest)
        low = max(high - cursor.limit + 1, 1)  # the newest list is whole
    else:
        high = newest if cursor.before is None else min(_decode_number(cursor.before, "before") - 1, newest)
        low = max(high - cursor.limit + 1, 1)
    return low, high, str(max(high, 0)) if high < newest else None, str(low) if 1 < low <= high else None


def _keep_receipt(receipt: dict[str, Any]) -> str:
    return IMMUTABLE if receipt["status"] == EpochState.FINAL else LIVE


# --- the table


def _require(parameter: Parameter) -> Parameter:
    return msgspec.structs.replace(parameter, is_required=True)


_BEFORE: Final = text("before", "From `older` of another answer: what is older than its last item.")
_AFTER: Final = text("after", "From `newer` of another answer: what is newer than its first item.")
_LIMIT: Final = whole_number("limit", "Items in one answer.", 1, MAX_LIMIT, DEFAULT_LIMIT)
_ID: Final = digest("id", "Of the payment: its EIP-712 digest.")
_BLOCK: Final = text("block", "A number (decimal or 0x hex), a hash, or `latest`.")
_EPOCH: Final = text("epoch", "A number (decimal or 0x hex), `latest` for the last that is sealed, or `final`.")
_ACCOUNT: Final = address("address", "Of the account.")
_INSTRUCTION: Final = digest("id", "Of the instruction: its EIP-712 digest.")
_FILE: Final = digest("file", "Its id.")
_PROVEN: Final = text("epoch", "A number, or `latest` for the last that is sealed.", default="latest")
_FILTERS: Final = (
    address("account", "The payer or a payee, the recipient of a withdrawal included."),
    choice("direction", "Of the account.", ("in", "out")),
    address("counterparty", "On the other side of the account."),
    address("asset", "Zeros for ether."),
    choice("kind", "Of payment.", list(KIND_CODES)),
    digest("reference", "What is paid for."),
    choice("status", "How far it has come.", list(PaymentStatus)),
    time("from", "The first day or second"),
    time("to", "The last day or second"),
)
assert tuple([parameter.name for parameter in _FILTERS]) == filters.NAMES
_PERIOD: Final = (
    whole_number("epoch", "Instead of a span of time; without either, of all time.", 0, 2**63 - 1),
    time("from", "The first day or second"),
    time("to", "The last day or second"),
)
_FILE_FILTERS: Final = (
    text("q", "Words of the name, the tags or the description.", maxLength=files.MAX_TEXT),
    Parameter(
        "tag",
        "A tag; given more than once, a file has them all.",
        {"type": "array", "items": {"type": "string"}, "maxItems": MAX_TAGS},
    ),
    text("mediaType", "As in Content-Type.", maxLength=files.MAX_TEXT),
    address("validator", "Who lists it."),
    address("owner", "Whose it is."),
    address("serviceNode", "Who keeps it."),
    address("asset", "That it is sold in; zeros for ether."),
    choice("status", "`listed` leaves out what was delisted.", (files.LISTED, files.ALL)),
)
assert tuple([parameter.name for parameter in _FILE_FILTERS]) == files.NAMES
_FILES: Final = {"csv": "text/csv", "json": "application/json"}

ENDPOINTS: Final = (
    Endpoint(
        f"{PREFIX}/ledger", "getLedger", "Ledger", "What the ledger is, and what it has counted", forms.LedgerAnswer,
        show_ledger,
    ),
    Endpoint(
        f"{PREFIX}/reserves", "getReserves", "Ledger", "What the contract holds, against what the ledger owes",
        forms.ReservesAnswer, show_reserves,
    ),
    Endpoint(
        f"{PREFIX}/activity", "listActivity", "Ledger", "Payments and volume over time", forms.ActivityAnswer,
        show_activity,
        query=(
            choice("length", "Of a span; hour if nothing is said.", list(_LENGTHS)),
            time("since", "When the first span begins. If nothing is said: the last 60 minutes, 48 hours or 90 days"),
            whole_number("limit", "Items in one answer.", 32, MAX_ACTIVITY, MAX_ACTIVITY),
        ),
    ),
    Endpoint(
        f"{PREFIX}/search", "search", "Ledger", "What a few words name exactly, or the files that have them",
        forms.SearchAnswer, search,
        query=(
            _require(
                text(
                    "q", "An address, an id, a hash, a reference, a number; words of a file.", minLength=1,
                    maxLength=MAX_QUERY,
                )
            ),
        ),
    ),
    Endpoint(
        f"{PREFIX}/events", "followEvents", "Ledger", "What is new, as it happens", None,
        description="Server-sent events. `ledger`: the index has something new, with how far it is "
        "(`height`, `block`, `epoch`, `payments`, `mined`, `final`); at most four a second. `commitments`: the way of "
        "an epoch to Ethereum has changed. The first event comes at once.",
        media_type="text/event-stream", refusals=(503,),
    ),
    Endpoint(
        f"{PREFIX}/payments", "listPayments", "Payments", "Payments, newest first", forms.PaymentList, list_payments,
        query=(*_FILTERS, _BEFORE, _AFTER, _LIMIT),
    ),
    Endpoint(
        f"{PREFIX}/payments/{{id}}", "getPayment", "Payments", "A payment, with what each party gained and lost",
        forms.PaymentAnswer, show_payment, (_ID,), refusals=(400, 404, 503),
    ),
    Endpoint(
        f"{PREFIX}/payments/{{id}}/receipt", "getReceipt", "Payments", "Its receipt, to be checked without this node",
        forms.ReceiptAnswer, show_receipt, (_ID,), refusals=(400, 404, 503),
    ),
    Endpoint(
        f"{PREFIX}/payments/{{id}}/proof", "getPaymentProof", "Payments",
        "Its receipt, and for a withdrawal what claims it on Ethereum", forms.PaymentProofAnswer, prove_payment, (_ID,),
        refusals=(400, 404, 503),
    ),
    Endpoint(
        f"{PREFIX}/deposits", "listDeposits", "Deposits", "Deposits, newest first", forms.DepositList, list_deposits,
        query=(address("account", "Whose balance grew."), _BEFORE, _AFTER, _LIMIT),
    ),
    Endpoint(
        f"{PREFIX}/deposits/{{id}}", "getDeposit", "Deposits", "A deposit", forms.DepositItem, show_deposit,
        (digest("id", "Of the deposit."),), refusals=(400, 404, 503),
    ),
    Endpoint(
        f"{PREFIX}/files", "listFiles", "Data exchange", "The catalogue, newest first", forms.FileList, list_files,
        query=(*_FILE_FILTERS, _BEFORE, _AFTER, _LIMIT),
    ),
    Endpoint(
        f"{PREFIX}/files/{{file}}", "getFile", "Data exchange", "A file, with who gets what of a sale", forms.FileItem,
        show_file, (_FILE,), refusals=(400, 404, 503),
    ),
    Endpoint(
        f"{PREFIX}/files/{{file}}/prices", "listPrices", "Data exchange", "What it costs, and cost before",
        forms.PriceList, list_prices, (_FILE,), (_BEFORE, _LIMIT), refusals=(400, 404, 503),
    ),
    Endpoint(
        f"{PREFIX}/files/{{file}}/sales", "listSales", "Data exchange", "Its sales, newest first", forms.PaymentList,
        list_sales, (_FILE,), (_BEFORE, _AFTER, _LIMIT), refusals=(400, 404, 503),
    ),
    Endpoint(
        f"{PREFIX}/files/{{file}}/purchases/{{buyer}}", "getPurchase", "Data exchange",
        "The receipt of a purchase, and the file's key, sealed to the buyer", forms.PurchaseAnswer, show_purchase,
        (_FILE, address("buyer", "Who bought it.")), refusals=(400, 404, 503),
    ),
    Endpoint(
        f"{PREFIX}/files/{{file}}/proof", "getFileProof", "Data exchange",
        "The file's entry in the registry at the end of an epoch, and its path to the commitment",
        forms.FileProofAnswer, prove_file, (_FILE,), (_PROVEN,), refusals=(400, 404, 503),
    ),
    Endpoint(
        f"{PREFIX}/tags", "listTags", "Data exchange", "The most used tags", forms.TagList, list_tags,
        query=(whole_number("limit", "Items in one answer.", 1, MAX_TAG_ROWS, MAX_LIMIT),),
    ),
    Endpoint(
        f"{PREFIX}/registrations", "listRegistrations", "Data exchange", "Who has which role, newest first",
        forms.RegistrationList, list_registrations,
        query=(
            choice("role", "Of the account.", list(ROLE_BITS)), address("validator", "Whose owners."), _BEFORE, _AFTER,
            _LIMIT,
        ),
    ),
    Endpoint(
        f"{PREFIX}/instructions", "listInstructions", "Data exchange", "Instructions, newest first",
        forms.InstructionList, list_instructions,
        query=(address("account", "Who signed."), digest("file", "That it is about."), _BEFORE, _AFTER, _LIMIT),
    ),
    Endpoint(
        f"{PREFIX}/instructions/{{id}}", "getInstruction", "Data exchange", "An instruction", forms.InstructionAnswer,
        show_instruction, (_INSTRUCTION,), refusals=(400, 404, 503),
    ),
    Endpoint(
        f"{PREFIX}/instructions/{{id}}/receipt", "getInstructionReceipt", "Data exchange",
        "Its receipt, to be checked without this node", forms.InstructionReceiptAnswer, show_instruction_receipt,
        (_INSTRUCTION,), refusals=(400, 404, 503),
    ),
    Endpoint(
        f"{PREFIX}/accounts/{{address}}/roles", "getRoles", "Data exchange", "What an account is in the data exchange",
        forms.RolesAnswer, show_roles, (_ACCOUNT,),
    ),
    Endpoint(
        f"{PREFIX}/accounts/{{address}}/roles/proof", "getRolesProof", "Data exchange",
        "The account's entry in the registry at the end of an epoch, and its path to the commitment",
        forms.RolesProofAnswer, prove_roles, (_ACCOUNT,), (_PROVEN,), refusals=(400, 404, 503),
    ),
    Endpoint(
        f"{PREFIX}/accounts/{{address}}/owners", "listOwners", "Data exchange", "A validator's owners, newest first",
        forms.RegistrationList, list_owners, (_ACCOUNT,), (_BEFORE, _AFTER, _LIMIT),
    ),
    Endpoint(
        f"{PREFIX}/accounts/{{address}}/files", "listFilesOfAccount", "Data exchange",
        "The files of an account, delisted ones included, newest first", forms.FileList, list_files_of_account,
        (_ACCOUNT,),
        (
            choice("as", "What the account is of them; owner if nothing is said.", list(FILE_PARAMETERS)),
            _BEFORE,
            _AFTER,
            _LIMIT,
        ),
    ),
    Endpoint(
        f"{PREFIX}/accounts/{{address}}/earnings", "getEarnings", "Data exchange",
        "What an account has earned in the data exchange", forms.EarningsAnswer, show_earnings, (_ACCOUNT,),
    ),
    Endpoint(
        f"{PREFIX}/accounts/{{address}}/instructions", "listInstructionsOfAccount", "Data exchange",
        "What an account signed beside its payments, newest first", forms.InstructionList,
        list_instructions_of_account, (_ACCOUNT,), (_BEFORE, _AFTER, _LIMIT),
    ),
    Endpoint(
        f"{PREFIX}/accounts/{{address}}", "getAccount", "Accounts", "What an account has and has done",
        forms.AccountAnswer, show_account, (_ACCOUNT,),
        description="An account that was never heard of has nothing.",
    ),
    Endpoint(
        f"{PREFIX}/accounts/{{address}}/statement", "getStatement", "Accounts",
        "Debits and credits, with the balance after each", forms.StatementAnswer, show_statement, (_ACCOUNT,),
        (
            _require(address("asset", "Zeros for ether.")),
            *_PERIOD,
            text("cursor", "Of another answer: the page that follows it."),
            _LIMIT,
        ),
        refusals=(400, 404, 503),
    ),
    Endpoint(
        f"{PREFIX}/accounts/{{address}}/proof", "getAccountProof", "Accounts",
        "The account's leaf at the end of an epoch, and its path to the commitment", forms.AccountProofAnswer,
        prove_account, (_ACCOUNT,),
        (
            _require(address("asset", "Zeros for ether.")),
            _PROVEN,
        ),
        refusals=(400, 404, 503),
    ),
    Endpoint(
        f"{PREFIX}/blocks", "listBlocks", "Blocks", "Blocks, newest first", forms.BlockList, list_blocks,
        query=(_BEFORE, _AFTER, _LIMIT),
    ),
    Endpoint(
        f"{PREFIX}/blocks/{{block}}", "getBlock", "Blocks", "A block", forms.BlockItem, show_block, (_BLOCK,),
        description="Its signed header is what `tally_getBlock` answers.", refusals=(400, 404, 503),
    ),
    Endpoint(
        f"{PREFIX}/blocks/{{block}}/records", "listRecords", "Blocks", "Its records, in order",
        forms.RecordList, list_records, (_BLOCK,),
        (whole_number("start", "Index of the first record shown.", 0, 2**32, 0), _LIMIT), refusals=(400, 404, 503),
    ),
    Endpoint(
        f"{PREFIX}/epochs", "listEpochs", "Epochs", "Epochs, newest first", forms.EpochList, list_epochs,
        query=(_BEFORE, _AFTER, _LIMIT),
    ),
    Endpoint(
        f"{PREFIX}/epochs/{{epoch}}", "getEpoch", "Epochs", "An epoch, with what it moved", forms.EpochAnswer,
        show_epoch,
        (text("epoch", "A number (decimal or 0x hex), `open`, `latest` for the last that is sealed, or `final`."),),
        refusals=(400, 404, 503),
    ),
    Endpoint(
        f"{PREFIX}/epochs/{{epoch}}/commitment", "getCommitment", "Epochs", "Its commitment and its way to Ethereum",
        forms.CommitmentAnswer, show_commitment, (_EPOCH,), refusals=(400, 404, 503),
    ),
    Endpoint(
        f"{PREFIX}/commitments", "listCommitments", "Epochs",
        "The commitments of sealed epochs and their ways to Ethereum, newest first", forms.CommitmentList,
        list_commitments, query=(_BEFORE, _AFTER, _LIMIT),
    ),
    *[
        Endpoint(
            f"/export/payments.{ending}", f"exportPayments{ending.capitalize()}", "Files",
            f"A list of payments as {ending.upper()}: all that the filter lets through", None, query=_FILTERS,
            description=inspect.cleandoc(exports.__doc__ or ""), media_type=media_type,
        )
        for ending, media_type in _FILES.items()
    ],
    *[
        Endpoint(
            f"/export/files.{ending}", f"exportFiles{ending.capitalize()}", "Files",
            f"The catalogue as {ending.upper()}: all that the filter lets through", None, query=_FILE_FILTERS,
            media_type=media_type,
        )
        for ending, media_type in _FILES.items()
    ],
    *[
        Endpoint(
            f"/export/statement.{ending}", f"exportStatement{ending.capitalize()}", "Files",
            f"A statement as {ending.upper()}", None,
            query=(_require(address("account", "Whose.")), address("asset", "Zeros for ether."), *_PERIOD),
            media_type=media_type, refusals=(400, 404, 503),
        )
        for ending, media_type in _FILES.items()
    ],
    Endpoint(
        etherscan.PATH, "callAsEtherscan", "Portfolio tools", "The calls of Etherscan that portfolio tools make", None,
        query=(
            _require(choice("module", "Of the action.", sorted({module for module, _ in etherscan.ACTIONS}))),
            _require(choice("action", "What is asked.", [action for _, action in etherscan.ACTIONS])),
            text("address", "Of the account; of `balancemulti` up to 20, with commas."),
            address("contractaddress", "Of the token."),
            digest("txhash", "The id of a payment, an instruction or a deposit."),
            text("startblock", "The first block; 0 if nothing is said."),
            text("endblock", "The last block; the newest if nothing is said."),
            whole_number("page", "Of the rows.", 1, etherscan.MAX_ROWS, 1),
            whole_number("offset", "Rows of a page.", 1, etherscan.MAX_ROWS, etherscan.MAX_ROWS),
            choice("sort", "By age; asc if nothing is said.", ("asc", "desc")),
            whole_number("timestamp", "Unix seconds.", 0, 2**43),
            choice("closest", "On which side of the time; before if nothing is said.", ("before", "after")),
        ),
        description=inspect.cleandoc(etherscan.__doc__ or ""), refusals=(429,),
    ),
)  # fmt: skip
