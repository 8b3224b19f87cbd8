"""Files that pages refer to. Each is served under the hash of its bytes, so a browser may keep it for good."""

import hashlib
from importlib.resources import files
from typing import Final

import msgspec

PREFIX: Final = "/static/"

_MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class StaticFile(msgspec.Struct, frozen=True):
    content: bytes
    media_type: str
    path: str
    """In a URL, from the root."""


def load_static_files() -> dict[str, StaticFile]:
    """All of `explorer/static`, by name. Raises KeyError for a kind of file that has no media type here."""
    return {entry.name: _load(entry.name, entry.read_bytes()) for entry in (files("explorer") / "static").iterdir()}


def _load(name: str, content: bytes) -> StaticFile:
    suffix = name[name.rindex(".") :]
    digest = hashlib.sha256(content).hexdigest()[:16]
    return StaticFile(content, _MEDIA_TYPES[suffix], f"{PREFIX}{digest}/{name}")
