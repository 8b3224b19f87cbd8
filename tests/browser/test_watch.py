"""The watch over the browser sees what it is there for: a suite whose errors nobody hears proves nothing."""

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import find_chromium
from tests.browser.watch import Reader
from tests.network import Network


def test_it_hears_errors_refused_scripts_failed_requests_and_strangers(browser: Browser, network: Network) -> None:
    reader = Reader(browser, network.facts["explorerUrl"], {network.facts["explorerUrl"].removeprefix("http://")})
    try:
        page = reader.open("/")
        assert reader.problems == []
        page.evaluate("console.error('a word')")
        page.evaluate("setTimeout(() => { throw new Error('thrown') })")
        page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'var inline = 1'}))")
        page.evaluate("fetch('/no/such/page')")
        page.evaluate("fetch('http://127.0.0.1:9/').catch(() => 0)")
        page.wait_for_function("window.inline === undefined")
        found = "\n".join(reader.problems)
        for sign in ("console: a word", "uncaught:", "policy: script-src-elem", "answered 404", "asked a stranger"):
            assert sign in found, found
        assert "failed: http://127.0.0.1:9/" in found
    finally:
        reader.close()


def test_a_missing_chromium_fails_the_test_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "no-such-browser")
    with pytest.raises(pytest.fail.Exception, match=r"no-such-browser is not on the path: .*apt-get install chromium"):
        find_chromium()
    monkeypatch.delenv("CHROMIUM")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(pytest.fail.Exception, match=r"none of chromium, .* is on the path"):
        find_chromium()
