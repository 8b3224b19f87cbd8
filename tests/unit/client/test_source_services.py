"""Publishing a contract's source: what Sourcify and Etherscan are sent, and what is made of what they say."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from client.errors import Unreachable
from client.source_services import (
    Etherscan,
    Outcome,
    SourcePending,
    SourceRefused,
    Sourcify,
    Submission,
)
from contracts import load_artifact, load_standard_input
from tests.unit.client.source_server import API_KEY, JOB, TICKET, SourceServices, describe_job, serve_sources

SUBMISSION = Submission(
    l1_chain_id=11_155_111,
    settlement=bytes.fromhex("5fbdb2315678afecb367f032d93f642f64180aa3"),
    l1_transaction=b"\x17" * 32,
    constructor=b"\x01\x02",
    standard_input=load_standard_input("Settlement"),
    compiler=load_artifact("Settlement").compiler["version"],
    contract="src/Settlement.sol:Settlement",
)
ADDRESS = "0x5FbDB2315678afecb367f032d93F642f64180aa3"


@pytest.fixture
def services() -> Iterator[SourceServices]:
    with serve_sources() as services:
        yield services


class Pauses(list[float]):
    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def publish_to_sourcify(services: SourceServices, pauses: Pauses | None = None) -> Any:
    return Sourcify(services.sourcify_url, sleep=pauses if pauses is not None else Pauses()).publish(
        SUBMISSION, lambda _: None
    )


def publish_to_etherscan(services: SourceServices, key: str = API_KEY) -> Any:
    return Etherscan(services.etherscan_url, key, sleep=Pauses()).publish(SUBMISSION, lambda _: None)


def test_sourcify_gets_the_compilers_input_and_the_creating_transaction(services: SourceServices) -> None:
    said: list[str] = []
    pauses = Pauses()
    published = Sourcify(services.sourcify_url, sleep=pauses).publish(SUBMISSION, said.append)
    assert published.outcome is Outcome.NEW
    assert published.url.endswith(f"/11155111/{ADDRESS}")
    assert said == [f"Sourcify: submitted, job {JOB}"]
    assert len(pauses) == 2  # once after the submission, once while the job ran
    (sent,) = services.find("POST sourcify")
    assert sent == {
        "stdJsonInput": load_standard_input("Settlement"),
        "compilerVersion": "0.8.37+commit.f401782d",
        "contractIdentifier": "src/Settlement.sol:Settlement",
        "creationTransactionHash": "0x" + "17" * 32,
    }
    assert [path for action, path, _ in services.requests if action == "GET sourcify"] == [
        f"/server/v2/verify/{JOB}"
    ] * 2


def test_etherscan_gets_a_form_with_the_chain_in_the_address(services: SourceServices) -> None:
    published = publish_to_etherscan(services)
    assert published.outcome is Outcome.NEW
    assert published.url == f"https://sepolia.etherscan.io/address/{ADDRESS}#code"
    (sent,) = services.find("verifysourcecode")
    assert json.loads(sent.pop("sourceCode")) == load_standard_input("Settlement")
    assert sent == {
        "chainid": "11155111",
        "apikey": API_KEY,
        "module": "contract",
        "action": "verifysourcecode",
        "contractaddress": ADDRESS,
        "codeformat": "solidity-standard-json-input",
        "contractname": "src/Settlement.sol:Settlement",
        "compilerversion": "v0.8.37+commit.f401782d",
        "constructorArguments": "0102",
        "constructorArguements": "0102",
    }
    asked = services.find("checkverifystatus")
    assert [query["guid"] for query in asked] == [TICKET] * 2


def fail(code: str, message: str = "…") -> dict[str, str]:
    return {"customCode": code, "message": message, "errorId": "7"}


@pytest.mark.parametrize(
    ("action", "answers", "expected"),
    [
        ("POST sourcify", [(409, fail("already_verified"))], Outcome.BEFORE),
        (
            "POST sourcify",
            [(429, fail("duplicate_verification_request")), (409, fail("already_verified"))],
            Outcome.BEFORE,
        ),
        ("POST sourcify", [(404, fail("unsupported_chain", "chain 5"))], SourceRefused),
        ("POST sourcify", [(400, fail("invalid_parameter"))], SourceRefused),
        ("POST sourcify", [(500, fail("internal_error"))], Unreachable),
        ("POST sourcify", [(202, {"verificationId": "../contract"})], SourceRefused),
        ("POST sourcify", [(502, b"<html>")], Unreachable),
        ("GET sourcify", [(200, describe_job({"match": "exact_match"}))], Outcome.NEW),
        ("GET sourcify", [(200, describe_job(None, fail("already_verified")))], Outcome.BEFORE),
        ("GET sourcify", [(200, describe_job(None, fail("no_match", "the bytecodes differ")))], SourceRefused),
        ("GET sourcify", [(200, describe_job({"match": None}))], SourceRefused),
        ("GET sourcify", [(404, fail("job_not_found"))], SourceRefused),
        ("GET sourcify", [(200, describe_job(None))], SourcePending),
        ("GET sourcify", [(200, [])], Unreachable),
    ],
)
def test_what_sourcify_says(services: SourceServices, action: str, answers: list[Any], expected: Any) -> None:
    services.answers[action] = answers
    if isinstance(expected, Outcome):
        assert publish_to_sourcify(services).outcome is expected
        return
    with pytest.raises(expected):
        publish_to_sourcify(services)


def say(result: str, status: str = "0") -> tuple[int, dict[str, str]]:
    return 200, {"status": status, "message": "OK" if status == "1" else "NOTOK", "result": result}


@pytest.mark.parametrize(
    ("action", "answers", "expected"),
    [
        ("verifysourcecode", [say("Contract source code already verified")], Outcome.BEFORE),
        ("verifysourcecode", [say(f"Unable to locate ContractCode at {ADDRESS}"), say(TICKET, "1")], Outcome.NEW),
        ("verifysourcecode", [say("Max calls per sec rate limit reached (3/sec)"), say(TICKET, "1")], Outcome.NEW),
        ("verifysourcecode", [say("Invalid constructor arguments provided")], SourceRefused),
        ("verifysourcecode", [(503, b"busy")], Unreachable),
        ("checkverifystatus", [say("Already Verified")], Outcome.BEFORE),
        ("checkverifystatus", [say("Fail - Unable to verify")], SourceRefused),
        ("checkverifystatus", [say("Pending in queue")], SourcePending),
    ],
)
def test_what_etherscan_says(services: SourceServices, action: str, answers: list[Any], expected: Any) -> None:
    services.answers[action] = answers
    if isinstance(expected, Outcome):
        assert publish_to_etherscan(services).outcome is expected
        return
    with pytest.raises(expected):
        publish_to_etherscan(services)


def test_waiting_is_bounded(services: SourceServices) -> None:
    services.answers["GET sourcify"] = [(200, describe_job(None))]
    pauses = Pauses()
    with pytest.raises(SourcePending, match="180 s"):
        publish_to_sourcify(services, pauses)
    assert sum(pauses) == 180


def test_no_message_shows_the_key_or_the_address_it_is_in(services: SourceServices) -> None:
    with pytest.raises(SourceRefused) as refused:
        publish_to_etherscan(services, "ANOTHERSECRET")
    assert "Invalid API Key" in str(refused.value) and "ANOTHERSECRET" not in str(refused.value)
    nobody = Etherscan("http://127.0.0.1:1/path/SECRET", "SECRET", sleep=Pauses())
    with pytest.raises(Unreachable) as unreachable:
        nobody.publish(SUBMISSION, lambda _: None)
    assert "SECRET" not in str(unreachable.value) and "127.0.0.1" in str(unreachable.value)
    assert unreachable.value.__cause__ is None
