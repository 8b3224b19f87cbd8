"""A small file that is there whole or not at all."""

import os
from pathlib import Path


def write_durably(path: Path, content: bytes) -> None:
    """When it returns, the content is on disk under that name; before, whatever was there."""
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
