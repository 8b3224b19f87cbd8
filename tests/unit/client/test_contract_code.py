"""Code at an address against this release's."""

from client.contract_code import compare_code
from contracts import load_artifact

ARTIFACT = load_artifact("Settlement")


def fill(word: bytes = b"\x07" * 32) -> bytearray:
    """As a deployment leaves it, every immutable with its own word."""
    code = bytearray(ARTIFACT.deployed_bytecode)
    for number, places in enumerate(ARTIFACT.immutables.values()):
        for place in places:
            code[place : place + 32] = bytes([number]) + word[1:]
    return code


def test_code_is_ours_whatever_its_immutables_are() -> None:
    assert compare_code(ARTIFACT, bytes(fill())) == []
    assert compare_code(ARTIFACT, ARTIFACT.deployed_bytecode) == []


def test_every_byte_counts() -> None:
    masked = {place + at for places in ARTIFACT.immutables.values() for place in places for at in range(32)}
    for place in (0, 100, len(ARTIFACT.deployed_bytecode) - 1):
        assert place not in masked
        code = fill()
        code[place] ^= 1
        assert compare_code(ARTIFACT, bytes(code)) == [f"its code is not this release's, from byte {place} on"]
    assert "bytes" in compare_code(ARTIFACT, bytes(fill()) + b"\x00")[0]
    assert "bytes" in compare_code(ARTIFACT, b"\x00")[0]
    assert compare_code(ARTIFACT, b"") == ["there is no contract at this address"]


def test_an_immutable_that_is_another_in_another_place_is_seen() -> None:
    """So that a contract cannot name one operator to who asks and obey another."""
    code = fill()
    code[ARTIFACT.immutables["operator"][1] + 31] ^= 1
    assert compare_code(ARTIFACT, bytes(code)) == ["its code has two values of operator"]
