"""Files are written whole, for their owner alone, or not at all."""

import os
import stat
from pathlib import Path

import pytest

from client import files
from client.files import get_home, remove_durably, write_durably


def test_a_file_is_there_with_its_content_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "file"
    write_durably(path, b"content")
    assert path.read_bytes() == b"content"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_it_replaces_what_was_there_unless_it_must_be_new(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_durably(path, b"one", is_new=True)
    write_durably(path, b"two")
    with pytest.raises(FileExistsError):
        write_durably(path, b"three", is_new=True)
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_on_the_way_leaves_the_old_content_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    write_durably(path, b"old")

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(*((files.os, "fsync") if step == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OSError, match="full"):
        write_durably(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_content_and_directory_are_synced_before_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    monkeypatch.setattr(files.os, "fsync", note)
    write_durably(tmp_path / "file", b"content")
    assert synced == [False, True]


def test_removing_what_is_not_there_is_fine(tmp_path: Path) -> None:
    remove_durably(tmp_path / "nowhere" / "file")
    (tmp_path / "file").write_bytes(b"")
    remove_durably(tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_the_home_is_the_environment_s_if_it_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLY_HOME", "/somewhere")
    assert get_home() == Path("/somewhere")
    monkeypatch.delenv("TALLY_HOME")
    assert get_home() == Path.home() / ".tallystick"
