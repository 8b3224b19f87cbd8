"""Wallet keys: encrypted keystores (Web3 Secret Storage, version 3), one file a key, readable by the owner alone.

`<directory>/<name>.json`, mode 0600 in a directory of mode 0700. Other wallets read these files. A private key is in
memory only while it is used, never in an argument that is logged, and in no representation of an object.
"""

import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from coincurve import PrivateKey

from chain.primitives import Address, Hash, Signature
from chain.signatures import compute_address, sign_digest
from client.errors import ClientError
from client.files import get_home, write_durably

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_PRIVATE_KEY: Final = re.compile(r"(?:0[xX])?([0-9a-fA-F]{64})", re.ASCII)


class KeyProblem(ClientError):
    """No such key, a name that is taken or not allowed, a wrong password, or something that is no private key."""


class SigningKey:
    """A private key at work. Neither `repr` nor pickling shows it."""

    __slots__ = ("_key", "address")

    def __init__(self, secret: bytes) -> None:
        """32 bytes. Raises `KeyProblem` unless they are a private key of secp256k1."""
        try:
            self._key = PrivateKey(secret)
        except ValueError:
            raise KeyProblem("not a private key: 32 bytes, above 0 and below the order of secp256k1") from None
        self.address: Address = compute_address(self._key.public_key)

    def sign(self, digest: Hash) -> Signature:
        return sign_digest(self._key, digest)

    def export_secret(self) -> bytes:
        """The 32 bytes themselves, for those who must hand them on: Ethereum transactions, keystores, `keys export`."""
        return self._key.secret

    def __repr__(self) -> str:
        return f"SigningKey(0x{self.address.hex()})"

    def __reduce__(self) -> Any:
        raise TypeError("a private key is not to be pickled")


class StoredKey(msgspec.Struct, frozen=True):
    name: str
    address: Address
    path: Path


def parse_private_key(text: str) -> SigningKey:
    """64 hex digits, with or without 0x, blanks around them ignored. Raises `KeyProblem`, which does not show them."""
    match = _PRIVATE_KEY.fullmatch(text.strip())
    if match is None:
        raise KeyProblem("a private key is 64 hex digits")
    return SigningKey(bytes.fromhex(match.group(1)))


def generate_key() -> SigningKey:
    """From the system's randomness."""
    while True:
        try:
            return SigningKey(secrets.token_bytes(32))
        except KeyProblem:  # one in 2^128: zero, or not below the order
            continue


class Keystore:
    """The keys in one directory."""

    def __init__(self, directory: Path | None = None, *, scrypt_rounds: int | None = None) -> None:
        """`directory`: `TALLY_KEYS_DIR`, else `keys` in the client's home. `scrypt_rounds`: None for the usual 2^18."""
        self.directory = directory or get_keys_directory()
        self._scrypt_rounds = scrypt_rounds

    def add(self, name: str, key: SigningKey, password: str) -> StoredKey:
        """Raises `KeyProblem` if the name is not allowed or taken."""
        from eth_account import Account

        self.check_name(name)
        path = self._get_path(name)
        secret = key.export_secret()
        document = dict(Account.encrypt(secret, password, kdf="scrypt", iterations=self._scrypt_rounds))
        try:
            write_durably(path, json.dumps(document, indent=2).encode() + b"\n", is_new=True)
        except FileExistsError:
            raise KeyProblem(f"there is a key named {name} already, in {path}") from None
        return StoredKey(name, key.address, path)

    def get_all(self) -> list[StoredKey]:
        """By name. Raises `KeyProblem` for a file that is no keystore."""
        return list(self._read_all())

    def find(self, name_or_address: str) -> StoredKey:
        """By name, or by address in any case. Raises `KeyProblem` if there is none."""
        for key in self._read_all():
            if key.name == name_or_address or "0x" + key.address.hex() == name_or_address.lower():
                return key
        raise KeyProblem(f"there is no key {name_or_address} in {self.directory}")

    def load(self, name_or_address: str, password: str) -> SigningKey:
        """Raises `KeyProblem`, also for a wrong password."""
        from eth_account import Account

        stored = self.find(name_or_address)
        try:
            secret = bytes(Account.decrypt(stored.path.read_text(), password))
        except ValueError:
            raise KeyProblem(f"wrong password for key {stored.name}") from None
        key = SigningKey(secret)
        if key.address != stored.address:
            raise KeyProblem(f"{stored.path} says 0x{stored.address.hex()} and holds the key of 0x{key.address.hex()}")
        return key

    def check_name(self, name: str) -> None:
        """Raises `KeyProblem` if the name is not allowed or taken."""
        path = self._get_path(name)
        if path.exists():
            raise KeyProblem(f"there is a key named {name} already, in {path}")

    def _read_all(self) -> Iterator[StoredKey]:
        for path in sorted(self.directory.glob("*.json")) if self.directory.is_dir() else ():
            try:
                address = bytes.fromhex(json.loads(path.read_bytes())["address"].removeprefix("0x"))
            except (ValueError, KeyError, TypeError, AttributeError):
                address = b""
            if len(address) != 20:
                raise KeyProblem(f"{path} is not a keystore with an address")
            yield StoredKey(path.stem, address, path)

    def _get_path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise KeyProblem(f"{name!r} is no name for a key: letters, digits, dot, dash, underscore; at most 64")
        return self.directory / f"{name}.json"


def get_keys_directory() -> Path:
    directory = os.environ.get("TALLY_KEYS_DIR")
    return Path(directory) if directory else get_home() / "keys"
