"""The developers' page gives what programs need, and examples that are programs."""

import html
import json
import re
import shlex

import pytest

from chain.wire import encode_address
from tests.unit.explorer.conftest import OPERATOR, World
from tests.unit.explorer.machines import fetch
from tests.unit.explorer.reading import Answer
from tests.unit.node.index.history import RandomLedger

HEADERS = {"host": "ledger.example:8645", "x_forwarded_proto": "https"}
ORIGIN = "https://ledger.example:8645"


def read_examples(answer: Answer) -> dict[str, str]:
    assert answer.status == 200
    found = re.findall(
        r'<pre class="example"[^>]* data-example="(\w+)"><code>(.*?)</code></pre>', answer.text, re.DOTALL
    )
    return {name: html.unescape(text) for name, text in found}


async def test_the_network_is_the_one_that_the_reader_speaks_to(world: World, history: RandomLedger) -> None:
    answer = await fetch(world.explorer, "/developers", **HEADERS)
    page = answer.page
    values = dict(reversed(page.pairs))  # the first of each name: those of the network
    assert values["Explorer"] == ORIGIN
    assert values["JSON-RPC 2.0"] == ORIGIN
    assert values["WebSocket"] == "wss://ledger.example:8645/ws"
    chain_id = history.parameters.domain.chain_id
    assert values["Ledger chain id"].split() == [str(chain_id), hex(chain_id)]
    assert values["Contract"].startswith(encode_address(history.parameters.settlement))
    for asset in history.assets:
        assert encode_address(asset) in page.text
    assert answer.headers["cache-control"] == "no-store"


async def test_every_example_names_the_readers_own_origin(world: World) -> None:
    examples = read_examples(await fetch(world.explorer, "/developers", **HEADERS))
    assert set(examples) == {"rest", "rpc", "etherscan", "pay", "hear"}
    for name, text in examples.items():
        assert ("wss://ledger.example:8645/ws" if name == "hear" else ORIGIN) in text
        assert not re.search(r"https?://(?!ledger\.example:8645)", text)
    plain = read_examples(await fetch(world.explorer, "/developers"))
    assert 'connect("ws://127.0.0.1:2/ws")' in plain["hear"] and 'URL = "http://127.0.0.1:2"' in plain["pay"]


@pytest.mark.parametrize("name", ["pay", "hear"])
async def test_the_python_examples_are_python(world: World, name: str) -> None:
    compile(read_examples(await fetch(world.explorer, "/developers"))[name], name, "exec")


async def test_what_is_listened_to_is_what_the_words_say(world: World) -> None:
    answer = await fetch(world.explorer, "/developers")
    assert "Every payment from or to an account" in answer.page.text
    (wanted,) = re.findall(r"wanted = (.*)", read_examples(answer)["hear"])
    assert list(json.loads(wanted)) == ["account"]


async def test_the_shell_examples_ask_what_the_node_answers(world: World, history: RandomLedger) -> None:
    examples = read_examples(await fetch(world.explorer, "/developers", **HEADERS))
    for name in ("rest", "etherscan"):
        command, url = shlex.split(examples[name])
        assert command == "curl"
        answer = await fetch(world.explorer, url.removeprefix(ORIGIN))
        assert answer.status == 200 and answer.headers["content-type"].startswith("application/json")
    command, flag, header, url, data_flag, data = shlex.split(examples["rpc"].replace("\\\n", ""))
    assert (command, flag, header, url, data_flag) == ("curl", "-H", "content-type: application/json", ORIGIN, "-d")
    assert json.loads(data) == {"jsonrpc": "2.0", "id": 1, "method": "tally_getInfo", "params": []}
    assert encode_address(OPERATOR) in examples["etherscan"]
    assert f'"asset": "{encode_address(history.assets[0])}"' in examples["pay"]


async def test_what_the_page_links_to_is_there(world: World) -> None:
    page = (await fetch(world.explorer, "/developers")).page
    links = {link for _, link in page.links if link.startswith("/") and link != "/api/v1/events"}
    assert "/api/v1/openapi.json" in links
    for link in sorted(links):
        assert (await fetch(world.explorer, link)).status == 200, link
