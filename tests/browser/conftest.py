"""One browser, one network, and a ledger with a past, for all tests of this folder.

`SCREENSHOTS=directory` keeps pictures of the pages; without it none are made.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from devnet.l1.process import L1Process, start_l1
from tests.browser.past import SHARES, Past, make_past
from tests.browser.watch import PATIENCE_MS, Reader
from tests.network import Network, run_network, wait_until

EPOCH_SECONDS: Final = 4
CHALLENGE_SECONDS: Final = 8

OPERATOR_TOKEN: Final = "the-token-of-the-browser-tests-0123456789"

_CHROMIUM_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_CHROMIUM_FLAGS: Final = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

TakeScreenshot = Callable[[Page, str], None]

expect.set_options(timeout=PATIENCE_MS)


def find_chromium() -> str:
    """The one that `CHROMIUM` names, or the first on the path. A missing one fails the test."""
    named = os.environ.get("CHROMIUM")
    for name in (named,) if named else _CHROMIUM_NAMES:
        found = shutil.which(name)
        if found is not None:
            return found
    missing = f"{named} is not" if named else f"none of {', '.join(_CHROMIUM_NAMES)} is"
    pytest.fail(
        f"the browser tests need Chromium, and {missing} on the path: install the package `chromium` "
        "(Debian: apt-get install chromium), or name the program in CHROMIUM"
    )


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    flags = [*_CHROMIUM_FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    program = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags, chromium_sandbox=os.geteuid() != 0)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def ethereum(tmp_path_factory: pytest.TempPathFactory) -> Iterator[L1Process]:
    """Apart from the network, so that a node can be stopped while Ethereum goes on."""
    with start_l1(tmp_path_factory.mktemp("l1")) as l1:
        yield l1


@pytest.fixture(scope="package")
def network(tmp_path_factory: pytest.TempPathFactory, ethereum: L1Process) -> Iterator[Network]:
    directory = tmp_path_factory.mktemp("network")
    token_file = directory / "operator-token"
    token_file.write_text(OPERATOR_TOKEN + "\n")
    options = ["--l1-url", ethereum.url, "--epoch-seconds", str(EPOCH_SECONDS)]
    options += ["--challenge-period", str(CHALLENGE_SECONDS)]
    environment = {"TALLYSTICK_EXPLORER__OPERATOR_TOKEN_FILE": str(token_file), **SHARES}
    with run_network(directory, *options, **environment) as network:
        # The browser is busy for seconds between two of our questions: about as long as the node keeps a connection
        # that is idle, and a question on its way while the node closes it would be lost.
        network.session.headers["connection"] = "close"
        yield network


@pytest.fixture(scope="package")
def past(network: Network) -> Past:
    """More than a thousand payments of all kinds, over several epochs, in the ledger and in the index."""
    past = make_past(network)

    def is_indexed() -> bool:
        return re.search(rf"\b{len(past.sent):,}\b", get_text(network, "/")) is not None

    wait_until(is_indexed, "the index's following")
    return past


def get_text(network: Network, path: str) -> str:
    answer = network.session.get(network.facts["explorerUrl"] + path, timeout=30)
    assert answer.ok, f"{path}: {answer.status_code}"
    return answer.text


@pytest.fixture
def reader(browser: Browser, network: Network) -> Iterator[Reader]:
    """What goes wrong in one of its pages fails the test at the end."""
    hosts = {urlsplit(network.facts[name]).netloc for name in ("explorerUrl", "l1Url")}
    reader = Reader(browser, network.facts["explorerUrl"], hosts)
    yield reader
    reader.close()
    if reader.problems:
        pytest.fail("in the browser:\n" + "\n".join(reader.problems), pytrace=False)


@pytest.fixture
def page(reader: Reader) -> Page:
    """A blank one."""
    return reader.open()


@pytest.fixture(scope="package")
def take_screenshot() -> TakeScreenshot:
    directory = os.environ.get("SCREENSHOTS")

    def take(page: Page, name: str) -> None:
        if directory:
            page.screenshot(path=Path(directory) / f"{name}.png", full_page=True)

    return take
