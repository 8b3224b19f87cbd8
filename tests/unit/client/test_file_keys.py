"""The keys of files on disk: as they were put there, for the owner alone, and never one for another."""

import stat
from pathlib import Path

import msgspec
import pytest

from client.file_keys import DamagedFileKey, FileKey, FileKeyStore, FileKeyTaken

KEY = FileKey(b"\x01" * 32, b"\x02" * 32, b"\x03" * 32, "lake.csv")


@pytest.fixture
def store(tmp_path: Path) -> FileKeyStore:
    return FileKeyStore(7, tmp_path / "keys")


def test_a_key_comes_back_as_it_was(store: FileKeyStore) -> None:
    assert store.find(KEY.file) is None
    path = store.add(KEY)
    assert store.find(KEY.file) == KEY
    assert path.parent.name == "7"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_one_that_is_there_is_never_replaced(store: FileKeyStore) -> None:
    path = store.add(KEY)
    assert store.add(msgspec.structs.replace(KEY, name="another name")) == path
    for fields in ({"key": bytes(32)}, {"content_hash": bytes(32)}):
        with pytest.raises(FileKeyTaken):
            store.add(msgspec.structs.replace(KEY, **fields))
    assert store.find(KEY.file) == KEY


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"file": 1}', b"\x00"])
def test_a_damaged_file_is_named(store: FileKeyStore, content: bytes) -> None:
    path = store.add(KEY)
    path.write_bytes(content)
    with pytest.raises(DamagedFileKey, match=path.name):
        store.find(KEY.file)


def test_one_under_another_name_is_refused(store: FileKeyStore) -> None:
    store.add(KEY).rename(store.get_path(bytes(32)))
    with pytest.raises(DamagedFileKey, match="another file"):
        store.find(bytes(32))


def test_no_representation_shows_the_key() -> None:
    assert KEY.key.hex() not in repr(KEY) and repr(KEY.key) not in repr(KEY)


def test_the_directory_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TALLY_FILE_KEYS_DIR", raising=False)
    assert FileKeyStore(7).directory == tmp_path / "home" / "file-keys" / "7"
    monkeypatch.setenv("TALLY_FILE_KEYS_DIR", str(tmp_path / "other"))
    assert FileKeyStore(7).directory == tmp_path / "other" / "7"
