"""Publishing a contract's source where explorers look for it: Sourcify, and Etherscan.

Both compile what they are given and compare it with the code on chain; neither is believed, and both can be asked
again. Sources: the OpenAPI document of Sourcify's API v2 (`/v2/verify`), Etherscan's API v2 (`verifysourcecode`,
`checkverifystatus`) and the words it answers with, which its document does not list.
"""

import json
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import requests

from chain import wire
from chain.primitives import Address, Hash
from client.contract_code import CONTRACT, CodeReport
from client.errors import ClientError, Unreachable
from client.json_text import parse_json
from contracts import load_artifact, load_standard_input
from contracts.chains import find_chain

SOURCIFY_URL: Final = "https://sourcify.dev/server"
ETHERSCAN_URL: Final = "https://api.etherscan.io/v2/api"

_TIMEOUT_S: Final = 60
_MAX_ANSWER_SIZE: Final = 8 << 20
"""Bytes. A job that failed is answered with the codes that differ."""
_POLL_S: Final = 4
_MAX_POLLS: Final = 45
"""Three minutes: the compiler takes one."""
_MAX_PROBLEM: Final = 300
"""Characters of a service's own words."""


class SourceRefused(ClientError):
    """A service says no: it finds another code on chain, does not know the chain, or does not take the request."""


class SourcePending(ClientError):
    """A service has taken the source, and has not said what came of it."""


class Outcome(StrEnum):
    NEW = "published"
    BEFORE = "already_published"


class Published(msgspec.Struct, frozen=True):
    outcome: Outcome
    url: str
    """Where people see it."""


class Submission(msgspec.Struct, frozen=True):
    l1_chain_id: int
    settlement: Address
    l1_transaction: Hash
    """Which created the contract."""
    constructor: bytes
    """The constructor's arguments, ABI-encoded."""
    standard_input: dict[str, Any]
    compiler: str
    """Version and commit, `0.8.37+commit.f401782d`."""
    contract: str
    """Source unit, colon, name."""


def make_submission(report: CodeReport) -> Submission:
    """For a contract whose code is ours. Raises ValueError for any other."""
    if not report.is_ours or report.l1_transaction is None or report.constructor is None:
        raise ValueError("not a contract of this release")
    return Submission(
        l1_chain_id=report.l1_chain_id,
        settlement=report.settlement,
        l1_transaction=report.l1_transaction,
        constructor=report.constructor,
        standard_input=load_standard_input("Settlement"),
        compiler=load_artifact("Settlement").compiler["version"],
        contract=CONTRACT,
    )


class _Answer(msgspec.Struct, frozen=True):
    status: int
    form: dict[str, Any]


class _Service:
    """One HTTP service. A request that gets no answer is an outside fault; all of them may be repeated."""

    def __init__(self, url: str, sleep: Callable[[float], None]) -> None:
        self._url = url.rstrip("/")
        self._host = urlsplit(url).hostname or "the service"
        self._sleep = sleep

    def _ask(self, method: str, path: str, **request: Any) -> _Answer:
        """Raises `Unreachable`, which names the host alone: the rest of an address may hold a key."""
        try:
            with requests.request(
                method, self._url + path, timeout=_TIMEOUT_S, stream=True, allow_redirects=False, **request
            ) as response:
                body = bytearray()
                for chunk in response.iter_content(1 << 16):
                    body += chunk
                    if len(body) > _MAX_ANSWER_SIZE:
                        raise Unreachable(f"{self._host} answers with more than {_MAX_ANSWER_SIZE} bytes")
                status = response.status_code
        except (requests.RequestException, OSError, ValueError) as error:
            raise Unreachable(f"{self._host} does not answer: {type(error).__name__}") from None
        try:
            form = parse_json(bytes(body))
        except msgspec.DecodeError:
            form = None
        if not isinstance(form, dict):
            raise Unreachable(f"{self._host} answers with HTTP status {status} and no JSON object")
        return _Answer(status, form)

    def _poll(self, look: Callable[[], Published | None], say: Callable[[str], None]) -> Published:
        for _ in range(_MAX_POLLS):
            published = look()
            if published is not None:
                return published
            self._sleep(_POLL_S)
        raise SourcePending(
            f"{self._host} has not said what came of it after {_MAX_POLLS * _POLL_S} s: ask again later"
        )


class Sourcify(_Service):
    """https://docs.sourcify.dev: the public one, or another server with its API v2. Wants no account."""

    name: Final = "Sourcify"

    def __init__(self, url: str = SOURCIFY_URL, *, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(url, sleep)

    def publish(self, submission: Submission, say: Callable[[str], None]) -> Published:
        """Raises `SourceRefused`, `SourcePending`, `Unreachable`."""
        place = f"{submission.l1_chain_id}/{wire.encode_address(submission.settlement)}"
        body = {
            "stdJsonInput": submission.standard_input,
            "compilerVersion": submission.compiler,
            "contractIdentifier": submission.contract,
            "creationTransactionHash": wire.encode_bytes(submission.l1_transaction),
        }
        url = f"https://repo.sourcify.dev/{place}" if self._url == SOURCIFY_URL else f"{self._url}/v2/contract/{place}"
        jobs: list[str] = []

        def look() -> Published | None:
            if jobs:
                return self._look(jobs[0], url)
            answer = self._ask("POST", f"/v2/verify/{place}", json=body)
            job = answer.form.get("verificationId")
            if answer.status == 202 and isinstance(job, str) and job.replace("-", "").isalnum():
                jobs.append(job)
                say(f"{self.name}: submitted, job {job}")
                return None
            return self._read_error(answer.status, answer.form, url)

        return self._poll(look, say)

    def _look(self, job: str, url: str) -> Published | None:
        answer = self._ask("GET", f"/v2/verify/{job}")
        if answer.status != 200:
            return self._read_error(answer.status, answer.form, url)
        if answer.form.get("isJobCompleted") is not True:
            return None
        error, contract = answer.form.get("error"), answer.form.get("contract")
        if isinstance(error, dict):
            return self._read_error(answer.status, error, url)
        # `match`, not `exact_match`: our code carries no hash of its metadata, which would make it exact.
        if isinstance(contract, dict) and contract.get("match") in ("match", "exact_match"):
            return Published(Outcome.NEW, url)
        raise SourceRefused(f"{self.name} finds no match")

    def _read_error(self, status: int, form: dict[str, Any], url: str) -> Published | None:
        """None for what passes by itself."""
        code, message = str(form.get("customCode"))[:_MAX_PROBLEM], str(form.get("message"))[:_MAX_PROBLEM]
        if code == "already_verified":
            return Published(Outcome.BEFORE, url)
        if status == 429 or code == "duplicate_verification_request":  # too fast, or somebody else's job for it
            return None
        if status >= 500:
            raise Unreachable(f"{self._host} answers with HTTP status {status}: {code}: {message}")
        raise SourceRefused(f"{self.name} says {code}: {message}")


class Etherscan(_Service):
    """https://docs.etherscan.io: one service for many chains, or another that speaks alike. Wants an API key."""

    name: Final = "Etherscan"

    def __init__(
        self, url: str = ETHERSCAN_URL, api_key: str = "", *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        super().__init__(url, sleep)
        self._api_key = api_key

    def publish(self, submission: Submission, say: Callable[[str], None]) -> Published:
        """Raises `SourceRefused`, `SourcePending`, `Unreachable`."""
        explorer_url = find_chain(submission.l1_chain_id).explorer_url or self._url
        url = f"{explorer_url}/address/{wire.encode_address(submission.settlement)}#code"
        chain = {"chainid": str(submission.l1_chain_id)}
        account = {"apikey": self._api_key, "module": "contract"}
        arguments = submission.constructor.hex()
        body = {
            **account,
            "action": "verifysourcecode",
            "contractaddress": wire.encode_address(submission.settlement),
            "sourceCode": json.dumps(submission.standard_input),
            "codeformat": "solidity-standard-json-input",
            "contractname": submission.contract,
            "compilerversion": f"v{submission.compiler}",
            "constructorArguments": arguments,
            # The name that it has had for years, and that others who speak alike still know it by.
            "constructorArguements": arguments,
        }
        tickets: list[str] = []

        def look() -> Published | None:
            if tickets:
                query = {**chain, **account, "action": "checkverifystatus", "guid": tickets[0]}
                return self._read(self._ask("GET", "", params=query), url)
            answer = self._ask("POST", "", params=chain, data=body)
            ticket = answer.form.get("result")
            if answer.form.get("status") == "1" and isinstance(ticket, str) and ticket.isalnum():
                tickets.append(ticket)
                say(f"{self.name}: submitted, ticket {ticket}")
                return None
            return self._read(answer, url)

        return self._poll(look, say)

    def _read(self, answer: _Answer, url: str) -> Published | None:
        """None for what passes by itself."""
        result = str(answer.form.get("result"))[:_MAX_PROBLEM].replace(self._api_key or "\0", "…")
        words = result.lower()
        if "already verified" in words:
            return Published(Outcome.BEFORE, url)
        if "pass - verified" in words:
            return Published(Outcome.NEW, url)
        passing = ("pending in queue", "in progress", "unable to locate contractcode", "rate limit", "calls per sec")
        if answer.status == 429 or any(phrase in words for phrase in passing):
            return None  # the second of them: it has not read the block yet that holds the contract
        if answer.status >= 500:
            raise Unreachable(f"{self._host} answers with HTTP status {answer.status}: {result}")
        raise SourceRefused(f"{self.name} says: {result}")
