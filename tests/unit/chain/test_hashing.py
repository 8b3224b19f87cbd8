"""The tags that keep hash inputs apart."""

from chain import hashing

TAGS = {name: tag for name, tag in vars(hashing).items() if name.isupper() and isinstance(tag, bytes)}


def test_tags_are_single_bytes_that_nothing_else_begins_with() -> None:
    assert len(TAGS) == len(set(TAGS.values())) == 11
    for tag in TAGS.values():
        assert len(tag) == 1
        assert 0x80 <= tag[0] <= 0x8F
