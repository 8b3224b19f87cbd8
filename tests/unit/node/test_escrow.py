"""The escrow: which listings it takes, to whom it hands out keys, and that no node forgets which key it has used."""

from pathlib import Path
from typing import Any

import pytest
from coincurve import PrivateKey

from chain.errors import Refusal, WrongKey
from chain.hashing import keccak
from chain.instruction import ListFile, check_structure
from chain.params import Domain
from chain.payment import SignedPayment
from chain.primitives import ZERO_HASH
from chain.sealing import escrow_context, open_sealed_key, purchase_context, seal_key
from node.config import ConfigurationError
from node.escrow import Escrow, confirm_escrow
from tests.unit.chain.actors import ALICE, BOB, BOB_KEY, CAROL_KEY, DOMAIN, make_key, some_hash
from tests.unit.chain.exchange import ERIK, FILE, list_file, purchase, sign

ESCROW_KEY, OTHER_KEY = make_key("escrow"), make_key("another escrow")
ESCROW = Escrow(DOMAIN, ESCROW_KEY)
FILE_KEY = some_hash("the file key")
OTHER_DOMAIN = Domain.of(1, b"\x5f" * 20)


def seal(key: bytes = FILE_KEY, to: PrivateKey = ESCROW_KEY, context: bytes | None = None) -> bytes:
    """Alice's of FILE, but for what is given."""
    context = escrow_context(DOMAIN, ALICE, FILE) if context is None else context
    return seal_key(key, to.public_key.format(), context, some_hash("ephemeral"))


def make_listing(**fields: Any) -> ListFile:
    """Of FILE by Alice, its key in escrow."""
    listing = list_file(**{"key_hash": keccak(FILE_KEY), "sealed_key": seal(), **fields})
    check_structure(listing)
    return listing


def make_purchase() -> SignedPayment:
    """Bob's, signed."""
    signed = sign(purchase())
    assert isinstance(signed, SignedPayment)
    return signed


def find_refusal(listing: ListFile, escrow: Escrow = ESCROW) -> str | None:
    """What the escrow refuses the listing with."""
    try:
        escrow.check_listing(listing)
    except Refusal as refusal:
        return refusal.code
    return None


# --- listings


def test_a_listing_is_taken_whose_sealed_key_is_the_one_that_it_states() -> None:
    assert find_refusal(make_listing()) is None


@pytest.mark.parametrize(
    "why, listing",
    [
        ("of another hash", make_listing(key_hash=keccak(b"another key"))),
        ("altered", make_listing(sealed_key=seal()[:-1] + bytes((seal()[-1] ^ 1,)))),
        ("no point of the curve", make_listing(sealed_key=b"\x02" + b"\xff" * 32 + seal()[33:])),
        ("sealed to another", make_listing(sealed_key=seal(to=OTHER_KEY))),
        ("listed again by another validator", make_listing(account=ERIK)),
        ("listed again as another file", make_listing(file=some_hash("another file"))),
        ("sealed for another ledger", make_listing(sealed_key=seal(context=escrow_context(OTHER_DOMAIN, ALICE, FILE)))),
        ("sealed for a buyer", make_listing(sealed_key=seal(context=purchase_context(DOMAIN, FILE, ALICE)))),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_a_sealed_key_that_is_not_this_listings_is_the_wrong_one(why: str, listing: ListFile) -> None:
    assert find_refusal(listing) == "wrong_key"


def test_a_node_without_an_escrow_takes_no_keys_and_all_other_listings() -> None:
    without = Escrow(DOMAIN, None)
    assert without.public_key is None
    assert find_refusal(make_listing(), without) == "no_escrow"
    for listing in (make_listing(sealed_key=b""), make_listing(sealed_key=b"", key_hash=ZERO_HASH)):
        assert find_refusal(listing, without) is find_refusal(listing) is None


def test_the_published_key_is_the_one_that_keys_are_sealed_to() -> None:
    public_key = ESCROW.public_key
    assert public_key is not None and len(public_key) == 33
    sealed = seal_key(FILE_KEY, public_key, escrow_context(DOMAIN, ALICE, FILE), some_hash("x"))
    assert find_refusal(make_listing(sealed_key=sealed)) is None


# --- buyers


def test_the_key_is_sealed_to_who_signed_the_purchase_and_to_nobody_else() -> None:
    sealed = ESCROW.seal_for_buyer(make_listing(), make_purchase())
    assert sealed is not None and FILE_KEY not in sealed
    context = purchase_context(DOMAIN, FILE, BOB)
    assert open_sealed_key(sealed, BOB_KEY.secret, context) == FILE_KEY
    for secret in (CAROL_KEY.secret, ESCROW_KEY.secret):
        with pytest.raises(WrongKey):
            open_sealed_key(sealed, secret, context)
    with pytest.raises(WrongKey):
        open_sealed_key(sealed, BOB_KEY.secret, purchase_context(DOMAIN, FILE, ALICE))


def test_every_answer_is_sealed_anew() -> None:
    assert ESCROW.seal_for_buyer(make_listing(), make_purchase()) != ESCROW.seal_for_buyer(
        make_listing(), make_purchase()
    )


def test_a_key_that_the_validator_kept_is_not_handed_out() -> None:
    assert ESCROW.seal_for_buyer(make_listing(sealed_key=b""), make_purchase()) is None


def test_what_a_buyer_was_given_cannot_be_listed() -> None:
    """A mart might seal it on; but it is for the buyer, not for the escrow."""
    sealed = ESCROW.seal_for_buyer(make_listing(), make_purchase())
    assert find_refusal(make_listing(sealed_key=sealed)) == "wrong_key"


# --- the key is remembered


def test_the_key_of_the_first_start_is_demanded_at_every_later_one(tmp_path: Path) -> None:
    path = tmp_path / "escrow.public"
    for _ in range(3):
        confirm_escrow(path, ESCROW)
    assert path.read_text() == ESCROW_KEY.public_key.format().hex() + "\n"
    for other in (Escrow(DOMAIN, OTHER_KEY), Escrow(DOMAIN, None)):
        with pytest.raises(ConfigurationError, match=ESCROW_KEY.public_key.format().hex()):
            confirm_escrow(path, other)
    confirm_escrow(path, ESCROW)
    assert [entry.name for entry in tmp_path.iterdir()] == ["escrow.public"]


def test_an_escrow_may_begin_later(tmp_path: Path) -> None:
    path = tmp_path / "escrow.public"
    confirm_escrow(path, Escrow(DOMAIN, None))
    assert not path.exists()
    confirm_escrow(path, ESCROW)
    with pytest.raises(ConfigurationError):
        confirm_escrow(path, Escrow(DOMAIN, None))


@pytest.mark.parametrize("content", [b"", b"\n", b"02", b"\xff\xfe", b"0" * 65, b"g" * 66])
def test_a_file_that_holds_no_key_stops_the_start(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "escrow.public"
    path.write_bytes(content)
    for escrow in (ESCROW, Escrow(DOMAIN, None)):
        with pytest.raises(ConfigurationError, match="holds no public key"):
            confirm_escrow(path, escrow)


def test_what_died_while_writing_the_key_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "escrow.unfinished").write_text("02")
    confirm_escrow(tmp_path / "escrow.public", ESCROW)
    assert [entry.name for entry in tmp_path.iterdir()] == ["escrow.public"]
