"""Where a client keeps what it must not lose, and how it is written: whole and on disk, or not at all."""

import os
import secrets
from pathlib import Path


def get_home() -> Path:
    """`TALLY_HOME`, else `~/.tallystick`."""
    home = os.environ.get("TALLY_HOME")
    return Path(home) if home else Path.home() / ".tallystick"


def make_directory(path: Path) -> None:
    """With its parents, for the owner alone; one that is there keeps its mode."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_durably(path: Path, data: bytes, *, is_new: bool = False) -> None:
    """Writes `path` with mode 0600. When it returns the content is on disk under that name; before, the old one is.

    With `is_new` raises FileExistsError, leaving it alone, if there is a file of that name.
    """
    make_directory(path.parent)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            os.link(draft, path)  # unlike a rename, fails if the name is taken
            draft.unlink()
        else:
            draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def remove_durably(path: Path) -> None:
    """A missing file is fine."""
    path.unlink(missing_ok=True)
    if path.parent.exists():
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """What was linked, renamed or removed in it is so on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
