"""Who is the operator: whoever brings the token, in a header."""

import base64

import pytest
from starlette.datastructures import Headers

from explorer.access import is_operator

TOKEN = "correct-horse-battery-staple"


def basic(text: str | bytes) -> str:
    return "Basic " + base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


@pytest.mark.parametrize(
    "authorization",
    [
        basic(f"operator:{TOKEN}"),
        basic(f":{TOKEN}"),
        basic(f"größe:{TOKEN}"),
        basic(b"\xff\xfe:" + TOKEN.encode()),
        basic(f"a:{TOKEN}").replace("Basic", "bAsIc"),
        f"Bearer {TOKEN}",
        f"bearer {TOKEN}",
        f"Bearer  {TOKEN} ",
    ],
)
def test_who_brings_the_token_is(authorization: str) -> None:
    assert is_operator({"authorization": authorization}, TOKEN)
    assert is_operator(Headers({"Authorization": authorization}), TOKEN)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        TOKEN,
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}",
        f"Bearer {TOKEN} {TOKEN}",
        f"Token {TOKEN}",
        f"Digest {TOKEN}",
        f"Basic {TOKEN}",
        "Basic",
        "Basic ====",
        "Basic ü",
        basic(TOKEN),
        basic(f"{TOKEN}:"),
        basic(f"{TOKEN}:{TOKEN}:"),
        basic(f"operator:{TOKEN}\n"),
        basic(f"operator: {TOKEN}"),
        basic(f"operator:{TOKEN}")[:-2],
        basic("x" * 5000 + f":{TOKEN}"),
        f"Bearer ü{TOKEN}",
    ],
)
def test_nobody_else_is(authorization: str) -> None:
    assert not is_operator({"authorization": authorization}, TOKEN)


def test_without_the_header_nobody_is() -> None:
    assert not is_operator({}, TOKEN)
    assert not is_operator({"x-authorization": f"Bearer {TOKEN}", "cookie": TOKEN}, TOKEN)


def test_a_password_may_hold_a_colon() -> None:
    assert is_operator({"authorization": basic("operator:a:b:cdefghijklmnop")}, "a:b:cdefghijklmnop")
