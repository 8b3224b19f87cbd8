"""The keys of files on the client's own disk: those that a validator encrypted with, and those that a buyer bought.

`<directory>/<ledger chain id>/<file id>.json`, mode 0600 in a directory of mode 0700: `{file, key, contentHash, name}`.
They are there in the clear, whole and synced, before anything is sent that depends on them. A key shows in no
representation of an object.
"""

import os
from pathlib import Path
from typing import Any

import msgspec

from chain import wire
from chain.errors import MalformedRequest
from chain.primitives import Hash
from client.errors import ClientError
from client.files import get_home, write_durably
from client.json_text import parse_json


class FileKeyTaken(ClientError):
    """There is another key of that file on disk already, or one of a file of that id with other content."""


class DamagedFileKey(ClientError):
    """A file of ours that does not hold a file's key."""


class FileKey(msgspec.Struct, frozen=True):
    file: Hash
    key: bytes
    """32 bytes."""
    content_hash: Hash
    name: str = ""

    def __repr__(self) -> str:
        return f"FileKey(0x{self.file.hex()})"


class FileKeyStore:
    """The file keys of one ledger."""

    def __init__(self, ledger_chain_id: int, directory: Path | None = None) -> None:
        """`directory`: `TALLY_FILE_KEYS_DIR`, else `file-keys` in the client's home."""
        self.directory = (directory or _get_directory()) / str(ledger_chain_id)

    def add(self, file_key: FileKey) -> Path:
        """Returns its path; when it is there already, that is fine. Raises `FileKeyTaken`, `DamagedFileKey`."""
        path = self.get_path(file_key.file)
        form = {
            "file": wire.encode_bytes(file_key.file),
            "key": wire.encode_bytes(file_key.key),
            "contentHash": wire.encode_bytes(file_key.content_hash),
            "name": file_key.name,
        }
        try:
            write_durably(path, msgspec.json.format(msgspec.json.encode(form), indent=2) + b"\n", is_new=True)
        except FileExistsError:
            found = self.find(file_key.file)
            if found is None or (found.key, found.content_hash) != (file_key.key, file_key.content_hash):
                raise FileKeyTaken(f"{path} holds another key, or is of other content") from None
        return path

    def find(self, file: Hash) -> FileKey | None:
        """Raises `DamagedFileKey`."""
        path = self.get_path(file)
        if not path.exists():
            return None
        try:
            form = parse_json(path.read_bytes())
            found = _decode(form)
        except (msgspec.DecodeError, MalformedRequest) as error:
            raise DamagedFileKey(f"{path} does not hold a file's key") from error
        if found.file != file:
            raise DamagedFileKey(f"{path} holds the key of another file")
        return found

    def get_path(self, file: Hash) -> Path:
        return self.directory / f"0x{file.hex()}.json"


def _decode(form: Any) -> FileKey:
    return FileKey(
        file=wire.decode_hash(wire.get_field(form, "file", "file key"), "file"),
        key=wire.decode_hash(wire.get_field(form, "key", "file key"), "key"),
        content_hash=wire.decode_hash(wire.get_field(form, "contentHash", "file key"), "contentHash"),
        name=str(wire.get_field(form, "name", "file key")),
    )


def _get_directory() -> Path:
    directory = os.environ.get("TALLY_FILE_KEYS_DIR")
    return Path(directory) if directory else get_home() / "file-keys"
