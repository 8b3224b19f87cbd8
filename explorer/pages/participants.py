"""Who takes part in the data exchange: by role, with how many there are."""

from collections.abc import Mapping
from functools import partial

import msgspec
from fastapi import Request, Response

from chain.errors import MalformedRequest
from chain.market import OWNER, ROLE_BITS, VALIDATOR
from chain.primitives import Address
from explorer.listing import Slice, read_cursor, read_slice, take_limit
from explorer.pages.payments import Links, build_links
from explorer.site import Site, get_path
from node.index import IndexReader, Registration, encode_registration_cursor


class Participant(msgspec.Struct, frozen=True):
    registration: Registration
    owner_count: int | None
    """Of a validator."""


class ParticipantList(msgspec.Struct, frozen=True):
    participants: list[Participant]
    count: int
    """In all."""
    links: Links


async def show(site: Site, request: Request) -> Response:
    """`/participants?role=`. Raises `MalformedRequest`."""
    role = read_role(request.query_params)
    listed = await read_list(site, get_path(request), request.query_params, role, None)
    index = site.sources.index
    counts = await site.ask(lambda: {name: index.count_registrations(name, None) for name in ROLE_BITS})
    return await site.show(request, "participants.html", listed=listed, role=role or "", counts=counts)


def read_role(parameters: Mapping[str, str]) -> str | None:
    """None for any. Raises `MalformedRequest`."""
    role = parameters.get("role", "").strip()
    if role and role not in ROLE_BITS:
        raise MalformedRequest(f"role: one of: {' '.join(ROLE_BITS)}")
    return role or None


async def read_list(
    site: Site, path: str, parameters: Mapping[str, str], role: str | None, validator: Address | None
) -> ParticipantList:
    """`validator`: of whom they are owners. Raises `MalformedRequest` (cursor, limit)."""
    index, cursor = site.sources.index, read_cursor(parameters)

    def read() -> ParticipantList:
        listed: Slice[Registration] = read_slice(
            partial(index.list_registrations, role, validator), encode_registration_cursor, cursor
        )
        shown = ({"role": role} if role and validator is None else {}) | take_limit(parameters)
        return ParticipantList(
            participants=[Participant(each, _count_owners(index, each)) for each in listed.rows],
            count=index.count_registrations(role, validator),
            links=build_links(path, shown, listed),
        )

    return await site.ask(read)


def _count_owners(index: IndexReader, registration: Registration) -> int | None:
    return index.count_registrations(OWNER, registration.account) if registration.role == VALIDATOR else None
