"""Content on its way to a buyer: encrypted, decrypted, and never believed before its hash is right."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from Crypto.Cipher import AES

from client import content
from client.content import (
    ContentFacts,
    WrongContent,
    decrypt_content,
    encrypt_content,
    generate_file_key,
    measure_content,
    measure_encrypted_content,
)

KEY = bytes(range(32))
TEXT = bytes(range(256)) * 40 + b"the end"


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(content, "PART_SIZE", 1000)  # no multiple of a cipher block
    monkeypatch.chdir(tmp_path)


def list_names() -> list[str]:
    return sorted([path.name for path in Path().iterdir()])


@pytest.mark.parametrize("size", [0, 1, 15, 16, 999, 1000, 1001, len(TEXT)])
def test_what_was_encrypted_is_decrypted(size: int) -> None:
    plain, encrypted, copy = Path("plain"), Path("encrypted"), Path("copy")
    plain.write_bytes(TEXT[:size])
    facts = encrypt_content(plain, encrypted, KEY)
    assert facts == ContentFacts(size, hashlib.sha256(TEXT[:size]).digest()) == measure_content(plain)
    assert measure_encrypted_content(encrypted, KEY) == facts
    assert encrypted.stat().st_size == size
    assert decrypt_content(encrypted, copy, KEY, facts.content_hash) == facts
    assert copy.read_bytes() == TEXT[:size]
    assert list_names() == ["copy", "encrypted", "plain"]


def test_the_bytes_are_those_of_counter_mode_from_zero() -> None:
    """Block n is the content's block n, exclusive-or AES of n as 128 bits: any AES reads it. The hash is that of what
    `openssl enc -aes-256-ctr -iv 0…0` makes."""
    Path("plain").write_bytes(TEXT)
    encrypt_content(Path("plain"), Path("encrypted"), KEY)
    block = AES.new(KEY, AES.MODE_ECB).encrypt
    stream = b"".join(block(number.to_bytes(16, "big")) for number in range(-(-len(TEXT) // 16)))
    expected = bytes(left ^ right for left, right in zip(TEXT, stream, strict=False))
    assert Path("encrypted").read_bytes() == expected
    digest = "2d1aa43649ee47472a34435982916408008534a91143dca3bae59eed608300e7"
    assert hashlib.sha256(expected).hexdigest() == digest


@pytest.mark.parametrize("fault", ["key", "first byte", "last byte", "shorter", "longer", "hash"])
def test_another_content_is_refused_and_leaves_nothing_behind(fault: str) -> None:
    Path("plain").write_bytes(TEXT)
    facts = encrypt_content(Path("plain"), Path("encrypted"), KEY)
    data = bytearray(Path("encrypted").read_bytes())
    key, content_hash = KEY, facts.content_hash
    if fault == "key":
        key = bytes(32)
    elif fault == "hash":
        content_hash = bytes(32)
    elif fault == "shorter":
        data.pop()
    elif fault == "longer":
        data.append(0)
    else:
        data[0 if fault == "first byte" else -1] ^= 1
    Path("encrypted").write_bytes(data)
    with pytest.raises(WrongContent, match="the listing says"):
        decrypt_content(Path("encrypted"), Path("copy"), key, content_hash)
    assert list_names() == ["encrypted", "plain"]


def test_what_is_there_is_not_written_over() -> None:
    Path("plain").write_bytes(TEXT)
    Path("taken").write_bytes(b"mine")
    for source, target in (("plain", "taken"), ("plain", "plain")):
        with pytest.raises(FileExistsError, match="there already"):
            encrypt_content(Path(source), Path(target), KEY)
    facts = encrypt_content(Path("plain"), Path("encrypted"), KEY)
    with pytest.raises(FileExistsError, match="there already"):
        decrypt_content(Path("encrypted"), Path("taken"), KEY, facts.content_hash)
    assert (Path("taken").read_bytes(), Path("plain").read_bytes()) == (b"mine", TEXT)
    assert list_names() == ["encrypted", "plain", "taken"]


def test_a_name_that_is_taken_meanwhile_is_not_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("plain").write_bytes(TEXT)
    honest = content._read_parts

    def take_the_name(source: Path) -> Iterator[bytes]:
        Path("encrypted").write_bytes(b"theirs")
        return honest(source)

    monkeypatch.setattr(content, "_read_parts", take_the_name)
    with pytest.raises(FileExistsError, match="there already"):
        encrypt_content(Path("plain"), Path("encrypted"), KEY)
    assert Path("encrypted").read_bytes() == b"theirs"
    assert list_names() == ["encrypted", "plain"]


def test_a_failing_disk_leaves_nothing_under_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("plain").write_bytes(TEXT)

    def fail(_: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="full"):
        encrypt_content(Path("plain"), Path("encrypted"), KEY)
    assert list_names() == ["plain"]


def test_parts_are_read_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """So memory is bounded by a part, whatever the file's size."""
    Path("plain").write_bytes(TEXT)
    sizes: list[int] = []
    honest = content._Cipher.apply

    def note(cipher: content._Cipher, part: bytes) -> bytes:
        sizes.append(len(part))
        return honest(cipher, part)

    monkeypatch.setattr(content._Cipher, "apply", note)
    encrypt_content(Path("plain"), Path("encrypted"), KEY)
    assert max(sizes) == 1000 and sum(sizes) == len(TEXT)


def test_keys_are_of_32_bytes_and_never_the_same() -> None:
    assert len({generate_file_key() for _ in range(100)}) == 100
    assert {len(generate_file_key()) for _ in range(10)} == {32}
    Path("plain").write_bytes(TEXT)
    for key in (b"", bytes(16), bytes(31), bytes(33)):
        with pytest.raises(ValueError, match="32 bytes"):
            encrypt_content(Path("plain"), Path("encrypted"), key)
