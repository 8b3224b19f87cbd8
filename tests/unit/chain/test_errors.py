"""One name for one refusal, and each says what it is about."""

import re

from chain import errors
from chain.errors import MalformedBytes, Refusal

REFUSALS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Refusal)]
SUBCLASSES = [kind for kind in REFUSALS if kind is not Refusal]

EXAMPLES: dict[str, list[object]] = {
    "AlreadyListed": [b"\x01" * 32],
    "AlreadyPurchased": [b"\x01" * 32, b"\x02" * 20, b"\x03" * 32],
    "AlreadyRegistered": [b"\x01" * 20, "mart"],
    "AlreadyUploaded": [b"\x01" * 32],
    "AmountTooLarge": [5, 4],
    "Delisted": [b"\x01" * 32],
    "EpochLimit": [b"\x01" * 20, 5, 4],
    "Expired": [5, 6000],
    "FileExpired": [b"\x01" * 32, 5, 6000],
    "ForeignValidator": [b"\x01" * 20, b"\x02" * 20],
    "InsufficientBalance": [b"\x01" * 20, 1, 2],
    "InvalidProof": ["the problem"],
    "InvalidSignature": ["the problem"],
    "MalformedInstruction": ["the problem"],
    "MalformedPayment": ["the problem"],
    "MalformedRequest": ["the problem"],
    "MemoTooLong": [257, 256],
    "NoOutputs": [],
    "NoStorageRate": [b"\x01" * 20],
    "NonceTooFar": [256, 255],
    "NonceUsed": [1, 2],
    "NotFound": ["payment 0x00"],
    "NotUploaded": [b"\x01" * 32],
    "TooManyOutputs": [17, 16],
    "UnknownAsset": [b"\x01" * 20],
    "UnknownKind": ["mint"],
    "UnknownReference": [b"\x01" * 32],
    "UnknownRole": ["owner"],
    "WrongAsset": [b"\x01" * 20, b"\x02" * 20],
    "WrongKey": ["the problem"],
    "WrongOutputs": ["tip", "exactly 1 output", "2 outputs"],
    "WrongPrice": [5, 4],
    "WrongRole": [b"\x01" * 20, "mart", "validator owner"],
    "WrongServiceNode": ["an account registered as service_node", b"\x01" * 20],
    "ZeroAddress": ["from"],
    "ZeroAmount": [3],
}


def test_codes_are_the_names_of_their_classes() -> None:
    for kind in SUBCLASSES:
        assert kind.code == re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    assert len({kind.code for kind in SUBCLASSES}) == len(SUBCLASSES)


def test_every_refusal_names_its_values_and_says_them() -> None:
    for kind in SUBCLASSES:
        refusal = kind(*EXAMPLES[kind.__name__])
        assert list(refusal.values.values()) == EXAMPLES[kind.__name__]
        assert str(refusal) == refusal.message
        numbers_and_texts = [value for value in refusal.values.values() if not isinstance(value, bytes)]
        assert all(str(value) in refusal.message for value in numbers_and_texts)


def test_refusals_and_broken_books_are_different_things() -> None:
    assert not issubclass(errors.BrokenInvariant, Refusal)
    assert not issubclass(MalformedBytes, Refusal)
