"""The node's keys: encrypted keystores, opened once at the start."""

from pathlib import Path
from typing import Final

import msgspec
from coincurve import PrivateKey
from eth_account import Account
from eth_account.signers.local import LocalAccount

from node.config import ConfigurationError, KeyConfig

_MAX_FILE_SIZE: Final = 1 << 16
"""Bytes: a keystore has half a thousand."""


class KeyMissing(ConfigurationError):
    """The keystore or its password file is not there. It may come: a volume mounted late, a secret set later."""


def open_account(key: KeyConfig, name: str) -> LocalAccount:
    """Raises `KeyMissing`, or `ConfigurationError` when the keystore or its password file cannot be read, or do not fit
    together."""
    try:
        for path in (key.keystore, key.password_file):
            if not Path(path).exists():
                raise KeyMissing(f"{name}: {path} is not there")
        keystore = msgspec.json.decode(_read(key.keystore))
        password = _read(key.password_file).decode().rstrip("\n")
        account: LocalAccount = Account.from_key(Account.decrypt(keystore, password))
    except KeyMissing:
        raise
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        NotImplementedError,
        RecursionError,
        msgspec.DecodeError,
    ) as error:
        # The error may quote what it read; a name and a path are all that leaves here.
        raise ConfigurationError(
            f"{name}: the keystore {key.keystore} cannot be opened: {type(error).__name__}"
        ) from None
    return account


def open_signing_key(key: KeyConfig, name: str) -> PrivateKey:
    """As `open_account`, in the form that signs digests."""
    return PrivateKey(bytes(open_account(key, name).key))


def _read(path: str) -> bytes:
    """Raises OSError, also for what is no file, or a large one: a pipe would be waited for without end, and the node
    could not even be stopped."""
    if not Path(path).is_file():
        raise OSError("not a file")
    with Path(path).open("rb") as file:
        content = file.read(_MAX_FILE_SIZE + 1)
    if len(content) > _MAX_FILE_SIZE:
        raise OSError("too large")
    return content
