"""JSON from others, nested as deep as they please: a refusal, and never the end of the process."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from client.cli.exits import Exit
from client.json_text import parse_json

DEEP = b"[" * 99_000


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_what_is_nested_too_deeply_is_no_json() -> None:
    with pytest.raises(msgspec.DecodeError):
        parse_json(DEEP)


def test_a_file_nested_without_end_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    path.write_bytes(DEEP)
    ended = run("-m", "client.cli", "verify", str(path), "--l1-url", "http://127.0.0.1:1")
    assert ended.returncode == Exit.USAGE, ended.stderr
    assert "not JSON" in ended.stderr


def test_a_reply_nested_without_end_is_a_bad_reply() -> None:
    program = (
        "import client.cli\n"
        "from client import transport\n"
        "from client.errors import BadReply\n"
        "try:\n"
        f"    transport._decode_json(b'[' * {len(DEEP)})\n"
        "except BadReply as error:\n"
        "    print(error)\n"
    )
    ended = run("-c", program)
    assert ended.returncode == 0, ended.stderr
    assert "not JSON" in ended.stdout
