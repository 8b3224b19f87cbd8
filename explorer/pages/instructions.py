"""Instructions: what accounts told the ledger beside their payments. The list of them, and one with what was signed."""

from collections.abc import Iterable, Mapping
from functools import partial

import msgspec
from fastapi import Request, Response

from chain import wire
from chain.errors import NotFound
from chain.primitives import Address, Hash
from explorer.files import read_files
from explorer.listing import Slice, read_cursor, read_slice, take_limit
from explorer.pages.payments import Links, build_links
from explorer.pages.records import is_settled, read_record
from explorer.sentences import Part, tell
from explorer.site import Site, get_path
from node.index import IndexedFile, IndexedInstruction, encode_instruction_cursor
from node.payment_status import Commitments, PaymentStatus


class InstructionLine(msgspec.Struct, frozen=True):
    instruction: IndexedInstruction
    sentence: tuple[Part, ...]
    status: PaymentStatus


class InstructionList(msgspec.Struct, frozen=True):
    lines: list[InstructionLine]
    links: Links


async def show(site: Site, request: Request) -> Response:
    """`/instruction/{id}`. Raises `NotFound`, also for a payment or deposit; `Overloaded`."""
    text = request.path_params["id"]
    view = await read_record(site, text)
    if not isinstance(view.record, IndexedInstruction):
        raise NotFound(f"an instruction with the id {text}")
    return await site.show(request, "instruction.html", view=view, is_settled=is_settled(site, view))


async def show_list(site: Site, request: Request) -> Response:
    """`/instructions?account=&file=`. Raises `MalformedRequest`."""
    parameters = request.query_params
    texts = {name: parameters.get(name, "").strip() for name in ("account", "file")}
    account = wire.decode_address(texts["account"], "account") if texts["account"] else None
    file = wire.decode_hash(texts["file"], "file") if texts["file"] else None
    listed = await read_list(site, get_path(request), parameters, account, file, texts)
    return await site.show(request, "instructions.html", listed=listed, fields=texts)


async def read_list(
    site: Site,
    path: str,
    parameters: Mapping[str, str],
    account: Address | None,
    file: Hash | None,
    asked: Mapping[str, str],
) -> InstructionList:
    """`parameters`: where the list begins, and how many it shows. `asked`: what stands in the path's query. Raises
    `MalformedRequest`."""
    index, commitments, cursor = site.sources.index, site.sources.commitments, read_cursor(parameters)

    def read() -> tuple[Slice[IndexedInstruction], dict[Hash, IndexedFile]]:
        listed: Slice[IndexedInstruction] = read_slice(
            partial(index.list_instructions, account, file), encode_instruction_cursor, cursor
        )
        return listed, read_files(index, listed.rows)

    listed, files = await site.ask(read)
    shown = {name: text for name, text in asked.items() if text} | take_limit(parameters)
    return InstructionList(
        lines=list_instruction_lines(listed.rows, commitments, files),
        links=build_links(path, shown, listed),
    )


def list_instruction_lines(
    instructions: Iterable[IndexedInstruction], commitments: Commitments, files: Mapping[Hash, IndexedFile]
) -> list[InstructionLine]:
    return [
        InstructionLine(instruction, tell(instruction, files), commitments.compute_status(instruction.epoch))
        for instruction in instructions
    ]
