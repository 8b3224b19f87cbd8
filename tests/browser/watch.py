"""What goes wrong in a browser without anybody seeing it: errors in the console, refused scripts, failed requests."""

from contextlib import ExitStack
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, WebError

PATIENCE_MS: Final = 30_000
"""Of every wait for something on a page, unless the test says how fast it has to be."""

_LOCAL_SCHEMES: Final = ("data", "blob", "file", "about")

_LEFT_BEHIND: Final = "net::ERR_ABORTED"
"""What becomes of an event stream, and of all that is still on its way, when the reader goes elsewhere."""

_REPORT_POLICY: Final = """
addEventListener("securitypolicyviolation", (event) => console.error(
  `policy: ${event.effectiveDirective} refused ${event.blockedURI} in ${event.sourceFile}:${event.lineNumber}`));
"""


class Reader:
    """Opens pages, each in a context of its own: nothing cached, nothing stored. What goes wrong in any of them is in
    `problems`, in order."""

    def __init__(self, browser: Browser, base_url: str, hosts: set[str]) -> None:
        """`hosts`: `name:port` of all that pages may speak to."""
        self.problems: list[str] = []
        self._browser = browser
        self._base_url = base_url
        self._hosts = hosts
        self._expected: set[str] = set()
        self._contexts = ExitStack()

    def open(self, path: str | None = None, **options: Any) -> Page:
        """`options` are those of `Browser.new_context`. Without a path the page is blank."""
        context = self._browser.new_context(**({"base_url": self._base_url} | options))
        self._contexts.callback(context.close)
        self._watch(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        if path is not None:
            page.goto(path)
        return page

    def expect_trouble(self, path: str) -> None:
        """The address may answer with an error, or not at all, whatever its query."""
        self._expected.add(path if "://" in path else self._base_url + path)

    def close(self) -> None:
        self._contexts.close()

    def _watch(self, context: BrowserContext) -> None:
        context.add_init_script(_REPORT_POLICY)
        context.on("console", self._hear)
        context.on("weberror", self._catch)
        context.on("request", self._see_request)
        context.on("requestfailed", self._see_failure)
        context.on("response", self._see_response)

    def _is_expected(self, url: str) -> bool:
        return url.partition("?")[0] in self._expected

    def _hear(self, message: ConsoleMessage) -> None:
        url = message.location["url"]
        if message.type in ("error", "warning") and not self._is_expected(url):
            self.problems.append(f"console: {message.text} ({url})")

    def _catch(self, error: WebError) -> None:
        self.problems.append(f"uncaught: {error.error}")

    def _see_request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in _LOCAL_SCHEMES and url.netloc not in self._hosts:
            self.problems.append(f"asked a stranger: {request.url}")

    def _see_failure(self, request: Request) -> None:
        if request.failure != _LEFT_BEHIND and not self._is_expected(request.url):
            self.problems.append(f"failed: {request.url}: {request.failure}")

    def _see_response(self, response: Response) -> None:
        if response.status >= 400 and not self._is_expected(response.url):
            self.problems.append(f"answered {response.status}: {response.url}")
