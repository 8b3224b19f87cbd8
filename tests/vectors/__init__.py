"""Test vectors: what every implementation of the ledger's bytes must agree on. See README.md beside this file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent


class Case(NamedTuple):
    """One case of a vector file. Exactly one of `want` and `error` is given."""

    desc: str
    input: dict[str, Any]
    want: dict[str, Any] | None
    error: str | None


def load_cases(layout: str) -> list[Case]:
    """The cases of `<layout>.json`, in the order of the file."""
    document = json.loads((FOLDER / f"{layout}.json").read_text())
    return [Case(case["desc"], case["input"], case.get("want"), case.get("error")) for case in document["cases"]]


def list_layouts() -> Iterator[str]:
    """The names of all vector files."""
    return (path.stem for path in sorted(FOLDER.glob("*.json")))


def to_bytes(text: str) -> bytes:
    """The bytes of a `0x` hex string of a vector."""
    if not text.startswith("0x"):
        raise ValueError(f"{text!r} does not begin with 0x")
    return bytes.fromhex(text[2:])
