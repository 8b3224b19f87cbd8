"""Keys: encrypted at rest, for their owner alone, and never shown."""

import json
import pickle
import stat
from pathlib import Path

import pytest
from eth_account import Account

from chain.signatures import recover_address
from client.keys import KeyProblem, Keystore, SigningKey, generate_key, get_keys_directory, parse_private_key

SECRET = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
ADDRESS = bytes.fromhex("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
FAST = 2
"""Rounds of scrypt: no protection, and quick."""


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    return Keystore(tmp_path / "keys", scrypt_rounds=FAST)


def test_a_key_comes_back_with_its_password_alone(keystore: Keystore) -> None:
    stored = keystore.add("alice", parse_private_key(SECRET), "password")
    assert stored.address == ADDRESS
    assert keystore.load("alice", "password").export_secret() == bytes.fromhex(SECRET[2:])
    with pytest.raises(KeyProblem, match="wrong password"):
        keystore.load("alice", "Password")


def test_the_file_is_a_keystore_that_others_read_and_only_the_owner_may(keystore: Keystore) -> None:
    stored = keystore.add("alice", parse_private_key(SECRET), "password")
    assert Account.decrypt(stored.path.read_text(), "password") == bytes.fromhex(SECRET[2:])
    assert SECRET[2:] not in stored.path.read_text()
    assert json.loads(stored.path.read_text())["crypto"]["kdf"] == "scrypt"
    assert stat.S_IMODE(stored.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(keystore.directory.stat().st_mode) == 0o700


def test_a_name_is_never_taken_twice(keystore: Keystore) -> None:
    keystore.add("alice", parse_private_key(SECRET), "password")
    with pytest.raises(KeyProblem, match="already"):
        keystore.add("alice", generate_key(), "password")
    assert keystore.load("alice", "password").address == ADDRESS


@pytest.mark.parametrize("name", ["", "../alice", "a/b", ".hidden", "a b", "ä", "a" * 65, "a\n"])
def test_a_name_that_is_more_than_a_name_is_refused(keystore: Keystore, name: str) -> None:
    with pytest.raises(KeyProblem, match="no name"):
        keystore.add(name, generate_key(), "password")
    assert keystore.get_all() == []


def test_keys_are_found_by_name_and_by_address_in_any_case(keystore: Keystore) -> None:
    keystore.add("bob", generate_key(), "password")
    alice = keystore.add("alice", parse_private_key(SECRET), "password")
    assert [key.name for key in keystore.get_all()] == ["alice", "bob"]
    for name in ("alice", "0x" + ADDRESS.hex(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"):
        assert keystore.find(name) == alice
    with pytest.raises(KeyProblem, match="no key carol"):
        keystore.find("carol")


def test_a_keystore_that_names_another_address_is_refused(keystore: Keystore) -> None:
    stored = keystore.add("alice", parse_private_key(SECRET), "password")
    document = json.loads(stored.path.read_text())
    stored.path.write_text(json.dumps({**document, "address": "11" * 20}))
    with pytest.raises(KeyProblem, match="holds the key of"):
        keystore.load("alice", "password")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"address": 7}', '{"address": "0x12"}'])
def test_a_file_that_is_no_keystore_is_named(keystore: Keystore, content: str) -> None:
    keystore.directory.mkdir(parents=True)
    (keystore.directory / "odd.json").write_text(content)
    with pytest.raises(KeyProblem, match=r"odd\.json"):
        keystore.get_all()


@pytest.mark.parametrize("text", [SECRET, SECRET[2:], SECRET.upper().replace("0X", "0x"), f" {SECRET}\n"])
def test_private_keys_are_read_in_the_usual_forms(text: str) -> None:
    assert parse_private_key(text).address == ADDRESS


@pytest.mark.parametrize("text", ["", "0x", SECRET[:-1], SECRET + "0", "g" * 64, "0x" + "0" * 64, "0x" + "f" * 64])
def test_what_is_no_private_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(KeyProblem) as raised:
        parse_private_key(text)
    assert len(text) < 10 or text[5:20] not in str(raised.value)


def test_signatures_are_the_key_s() -> None:
    key = generate_key()
    assert recover_address(b"\x01" * 32, key.sign(b"\x01" * 32)) == key.address


def test_no_representation_shows_the_key() -> None:
    key = parse_private_key(SECRET)
    assert SECRET[2:] not in f"{key!r} {key} {vars(SigningKey)}"
    assert repr(key) == "SigningKey(0x" + ADDRESS.hex() + ")"
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_the_directory_is_the_environment_s_if_it_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLY_KEYS_DIR", "/somewhere/keys")
    assert get_keys_directory() == Path("/somewhere/keys")
    monkeypatch.delenv("TALLY_KEYS_DIR")
    monkeypatch.setenv("TALLY_HOME", "/home")
    assert get_keys_directory() == Path("/home/keys")
