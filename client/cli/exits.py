"""How `tally` ends: exit codes, and what an error says.

| code | meaning |
|---|---|
| 0 | done; for `verify` and `audit`: all of it holds |
| 1 | no: refused, a check failed, a disagreement was found, something is not what it should be |
| 2 | not yet: not committed, not final, not claimable; asking later may help |
| 3 | an outside fault: no answer, none that makes sense, or an outcome that is not known; trying again is safe |
| 64 | the command was not used as it should be |
| 130 | interrupted |
"""

import json
import sys
from enum import IntEnum
from typing import Any

from rich.console import Console
from rich.markup import escape

from chain import wire
from chain.errors import Refusal
from client.errors import BadReply, ClientError, OutcomeUnknown, RpcError, Unreachable
from client.ethereum import NotClaimable, NotMined
from client.submissions import NotNext


class Exit(IntEnum):
    DONE = 0
    NO = 1
    NOT_YET = 2
    FAULT = 3
    USAGE = 64
    INTERRUPTED = 130


class Ended(Exception):
    """A command has said all it has to say, and ends with this code."""

    def __init__(self, code: Exit) -> None:
        super().__init__(code)
        self.code = code


class NotYet(ClientError):
    """What was waited for has not happened in the time given."""


class BadUsage(ClientError):
    """An argument or option that makes no sense, alone or with the others."""


def choose_exit(error: BaseException) -> Exit:
    if isinstance(error, BadUsage):
        return Exit.USAGE
    if isinstance(error, NotYet):
        return Exit.NOT_YET
    if isinstance(error, NotClaimable):
        return Exit.NOT_YET if error.is_early else Exit.NO
    if isinstance(error, NotNext):
        return Exit.NOT_YET
    if isinstance(error, Unreachable | BadReply | RpcError | OutcomeUnknown | NotMined):
        return Exit.FAULT
    return Exit.NO


def describe_error(error: BaseException) -> dict[str, Any]:
    """Name, message and values, for `--json`."""
    if isinstance(error, Refusal):
        values = {name: _show(value) for name, value in error.values.items()}
        return {"code": error.code, "message": error.message, **values}
    if isinstance(error, RpcError):
        return {"code": "rpc_error", "message": str(error)}
    return {"code": _to_snake_case(type(error).__name__), "message": str(error)}


def report_error(error: BaseException, *, is_json: bool) -> None:
    """On standard error, so that standard output holds results alone."""
    described = describe_error(error)
    if is_json:
        sys.stderr.write(json.dumps({"error": described}) + "\n")
        return
    title = f"refused: {described['code']}" if isinstance(error, Refusal) else described["code"].replace("_", " ")
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"[bold red]{escape(title)}[/]: {escape(described['message'])}"
    )


def _show(value: Any) -> Any:
    if isinstance(value, bytes):
        return wire.encode_address(value) if len(value) == 20 else wire.encode_bytes(value)
    return str(value) if isinstance(value, int) else value


def _to_snake_case(name: str) -> str:
    return "".join(["_" + letter.lower() if letter.isupper() else letter for letter in name]).lstrip("_")
