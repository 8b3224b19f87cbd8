"""The content of a file for sale: encrypted by its validator before it is stored anywhere, decrypted by who has bought
it.

AES-256 in counter mode (NIST SP 800-38A, section 6.5), so that a file is as long encrypted as it is in the clear. The
counter begins at zero: every file has a random key of its own, which never encrypts anything else, so no counter block
ever recurs under one key. Counter mode shows no alteration by itself; the content is authenticated by its SHA-256,
which its listing states under the validator's signature, and nothing decrypted is there under its name before that has
been found right.

Files are read in parts: memory is bounded, whatever their size.
"""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from Crypto.Cipher import AES

from chain.primitives import Hash
from chain.sealing import FILE_KEY_SIZE
from client.errors import ClientError
from client.files import sync_directory

PART_SIZE: Final = 1 << 20
"""Bytes read at once."""


class WrongContent(ClientError):
    """What was decrypted is not the content that its listing states: another file, another key, or altered."""


class ContentFacts(msgspec.Struct, frozen=True):
    """What a listing says of a content."""

    size: int
    """Bytes, encrypted or not."""
    content_hash: Hash
    """SHA-256, unencrypted."""


def generate_file_key() -> bytes:
    """32 bytes of the system's randomness, for one file."""
    return secrets.token_bytes(FILE_KEY_SIZE)


def measure_content(source: Path) -> ContentFacts:
    digest = _Digest()
    for part in _read_parts(source):
        digest.update(part)
    return digest.facts


def measure_encrypted_content(source: Path, key: bytes) -> ContentFacts:
    """The facts of what an encrypted file decrypts to."""
    cipher, digest = _Cipher(key), _Digest()
    for part in _read_parts(source):
        digest.update(cipher.apply(part))
    return digest.facts


def encrypt_content(source: Path, target: Path, key: bytes) -> ContentFacts:
    """Writes the encrypted content of `source` to `target`, whole or not at all. `key`: 32 bytes, for this file alone.

    Raises FileExistsError if there is a `target` already.
    """
    cipher, digest = _Cipher(key), _Digest()
    with _open_draft(target) as draft:
        for part in _read_parts(source):
            digest.update(part)
            draft.write(cipher.apply(part))
    return digest.facts


def decrypt_content(source: Path, target: Path, key: bytes, content_hash: Hash) -> ContentFacts:
    """Writes the content of an encrypted file to `target`, which is there only if its SHA-256 is `content_hash`.

    Raises FileExistsError as `encrypt_content`, and `WrongContent`.
    """
    cipher, digest = _Cipher(key), _Digest()
    with _open_draft(target) as draft:
        for part in _read_parts(source):
            content = cipher.apply(part)
            digest.update(content)
            draft.write(content)
        found = digest.facts.content_hash
        if found != content_hash:
            raise WrongContent(
                f"{source}: decrypted it has SHA-256 {found.hex()}, the listing says {content_hash.hex()}"
            )
    return digest.facts


class _Cipher:
    """The key stream, applied part by part. Encrypting and decrypting are the same."""

    def __init__(self, key: bytes) -> None:
        if len(key) != FILE_KEY_SIZE:
            raise ValueError(f"a file key is {FILE_KEY_SIZE} bytes long, this one {len(key)}")
        self._cipher = AES.new(key, AES.MODE_CTR, nonce=b"", initial_value=0)

    def apply(self, part: bytes) -> bytes:
        return self._cipher.encrypt(part)


class _Digest:
    """The facts of what was read so far."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._size = 0

    def update(self, part: bytes) -> None:
        self._hash.update(part)
        self._size += len(part)

    @property
    def facts(self) -> ContentFacts:
        return ContentFacts(self._size, self._hash.digest())


def _read_parts(source: Path) -> Iterator[bytes]:
    with source.open("rb") as reading:
        while part := reading.read(PART_SIZE):
            yield part


@contextmanager
def _open_draft(target: Path) -> Iterator[BinaryIO]:
    """A file beside `target` that takes its name, synced, when the block ends well, and is removed when it does not."""
    if target.exists():  # before hours are spent; decided below
        raise FileExistsError(f"{target} is there already")
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as writing:
            yield writing
            writing.flush()
            os.fsync(writing.fileno())
        try:
            os.link(draft, target)  # unlike a rename, fails if the name is taken
        except FileExistsError:
            raise FileExistsError(f"{target} is there already") from None
    finally:
        draft.unlink(missing_ok=True)
    sync_directory(target.parent)
