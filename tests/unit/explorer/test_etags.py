"""What a reader has already is not sent again, however its browser or a proxy names it."""

import pytest
from starlette.requests import Request

from explorer.etags import has_already, make_etag
from tests.unit.explorer.conftest import World
from tests.unit.explorer.machines import commit, fetch
from tests.unit.node.index.history import RandomLedger

TAG = make_etag(b"a page")
OTHER = make_etag(b"another page")

FORMS = [TAG, f"W/{TAG}", f"{OTHER}, {TAG}", f"W/{OTHER},W/{TAG}", f' {OTHER} , W/{TAG} , "x"', f'"a,b", {TAG}', "*"]
"""All name `TAG`."""


def ask(*fields: str) -> Request:
    return Request({"type": "http", "headers": [(b"if-none-match", field.encode("latin-1")) for field in fields]})


def test_the_same_bytes_have_the_same_tag_and_others_another() -> None:
    assert make_etag(b"a page") == TAG != OTHER
    assert TAG[0] == TAG[-1] == '"' and len(TAG) == 34


@pytest.mark.parametrize("field", FORMS)
def test_a_tag_is_named_weakly_or_not_alone_or_among_others(field: str) -> None:
    assert has_already(ask(field), TAG)


def test_a_list_may_come_in_several_fields() -> None:
    assert has_already(ask(OTHER, TAG), TAG)


@pytest.mark.parametrize(
    "field",
    ["", OTHER, f"W/{OTHER}", TAG.strip('"'), TAG[:-1], f"w/{TAG}", f'"{OTHER}, *"', f"{OTHER} {TAG}", f"*, {OTHER}",
     f"W/W/{TAG}", '"x", *', "\xff", f'"{TAG}"'],
)  # fmt: skip
def test_what_does_not_name_it_does_not(field: str) -> None:
    assert not has_already(ask(field), TAG)
    assert not has_already(ask(), TAG)


@pytest.mark.parametrize("path", ["/verify", "/block/2", "/api/v1/blocks/2", "/api/v1/openapi.json"])
async def test_pages_and_answers_take_every_form(world: World, history: RandomLedger, path: str) -> None:
    commit(world, history)
    answer = await fetch(world.explorer, path)
    assert answer.status == 200, path
    tag = answer.headers["etag"]
    for field in FORMS:
        again = await fetch(world.explorer, path, if_none_match=field.replace(TAG, tag))
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag), field
    assert (await fetch(world.explorer, path, if_none_match=OTHER)).status == 200
