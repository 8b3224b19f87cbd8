"""Opening a keystore: what may still come is told apart from what is wrong, and nothing else ever comes out."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from node.config import ConfigurationError, KeyConfig
from node.keys import KeyMissing, open_account, open_signing_key

KEY = b"\x11" * 32


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., KeyConfig]:
    """Both files, with changes to the keystore; a value instead of a dictionary takes its place."""

    def write_it(changes: Any = (), password: str = "open sesame\n") -> KeyConfig:
        keystore: Any = Account.encrypt(KEY, "open sesame", kdf="scrypt", iterations=1024)
        keystore = {**keystore, **changes} if isinstance(changes, dict) else changes or keystore
        (tmp_path / "key.json").write_text(json.dumps(keystore))
        (tmp_path / "password").write_text(password)
        return KeyConfig(keystore=str(tmp_path / "key.json"), password_file=str(tmp_path / "password"))

    return write_it


def test_a_keystore_is_opened(write: Callable[..., KeyConfig]) -> None:
    assert bytes(open_account(write(), "gas").key) == KEY == open_signing_key(write(), "gas").secret


@pytest.mark.parametrize("file", ["key.json", "password"])
def test_a_file_that_is_not_there_may_still_come(write: Callable[..., KeyConfig], tmp_path: Path, file: str) -> None:
    key = write()
    (tmp_path / file).unlink()
    with pytest.raises(KeyMissing):
        open_account(key, "gas")


@pytest.mark.parametrize(
    "changes",
    [{"version": 4}, {"version": "three"}, {"crypto": None}, {"crypto": {}}, [1], "text", 5, [["version", 3]]],
)
def test_a_keystore_that_is_none_is_a_fault_of_configuration(write: Callable[..., KeyConfig], changes: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_account(write(changes), "gas")
    assert not isinstance(caught.value, KeyMissing)


def test_a_wrong_password_is_a_fault_of_configuration_that_does_not_quote_it(write: Callable[..., KeyConfig]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_account(write(password="swordfish"), "gas")
    assert "swordfish" not in str(caught.value) and caught.value.__cause__ is None


@pytest.mark.parametrize("name", ["x" * 300, "key.json/inside", "."])
def test_a_path_that_cannot_be_read_is_a_fault_of_configuration(
    write: Callable[..., KeyConfig], tmp_path: Path, name: str
) -> None:
    key = write()
    with pytest.raises(ConfigurationError):
        open_account(KeyConfig(keystore=str(tmp_path / name), password_file=key.password_file), "gas")


@pytest.mark.parametrize("content", [b"[" * 60_000, b" " * (1 << 20)])
def test_a_deep_or_a_large_keystore_is_a_fault_of_configuration(
    write: Callable[..., KeyConfig], tmp_path: Path, content: bytes
) -> None:
    key = write()
    (tmp_path / "key.json").write_bytes(content)
    with pytest.raises(ConfigurationError):
        open_account(key, "gas")


@pytest.mark.parametrize("file", ["key.json", "password"])
def test_a_pipe_is_not_waited_for(write: Callable[..., KeyConfig], tmp_path: Path, file: str) -> None:
    key = write()
    (tmp_path / file).unlink()
    os.mkfifo(tmp_path / file)
    with pytest.raises(ConfigurationError):
        open_account(key, "gas")
