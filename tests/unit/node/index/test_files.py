"""The catalogue: files, and lists of them under every filter, against the same question put to plain lists."""

import random
import sqlite3
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chain.errors import MalformedRequest
from chain.primitives import ZERO_HASH, Hash
from node.index import MAX_TERMS, FileFilter, IndexedFile, IndexReader, Page, encode_file_cursor, files
from tests.unit.node.index.exchange import WORDS, RandomExchange
from tests.unit.node.index.oracle import (
    is_file_wanted,
    list_all_files,
    make_file_filter,
    open_index,
    read_pages,
)


def list_names(reader: IndexReader, text: str | None, **wanted: Any) -> list[str]:
    """Of those found, sorted."""
    page = reader.list_files(FileFilter(text=text, **wanted), limit=1000)
    assert page.cursor is None
    return sorted([file.name for file in page.items])


def list_to_the_end(
    list_page: Callable[[str | None], Page[IndexedFile]], most: int = 10_000
) -> tuple[list[IndexedFile], list[int]]:
    """All items, and how many each page had; pages may be short."""
    items: list[IndexedFile] = []
    counts, cursor = [], None
    for _ in range(most):
        page = list_page(cursor)
        items += page.items
        counts.append(len(page.items))
        cursor = page.cursor
        if cursor is None:
            return items, counts
    raise AssertionError(f"pages without end, the last at {cursor}")


# --- one by one, and in lists


def test_every_file_is_found_as_the_rules_know_it(history: RandomExchange, reader: IndexReader) -> None:
    everything = list_all_files(history)
    assert len(everything) == len(history.ledger.state.files) > 30
    for file in everything:
        assert reader.get_file(file.id) == file
    assert reader.get_file(ZERO_HASH) is None
    assert reader.get_file(everything[0].id[:31] + b"\0") is None
    assert {file.is_delisted for file in everything} == {True, False}
    assert {file.sale_count > 1 for file in everything} == {True, False}
    assert {file.service_node is None for file in everything} == {True, False}
    assert any(file.key_hash == ZERO_HASH for file in everything)
    assert any(file.has_sealed_key for file in everything)


def test_names_are_read_of_many_files_at_once(history: RandomExchange, reader: IndexReader) -> None:
    names = {file.id: file.name for file in list_all_files(history)}
    assert reader.get_file_names(names) == names
    assert reader.get_file_names([*names, ZERO_HASH, b"\x01" * 32, *names]) == names
    assert reader.get_file_names([]) == {}


def test_files_are_listed_both_ways_under_every_filter(history: RandomExchange, reader: IndexReader) -> None:
    rng = random.Random(7)
    everything, found = list_all_files(history), 0
    for _ in range(500):
        wanted, limit = make_file_filter(history, rng), rng.choice((1, 2, 5, 100))
        expected = [file for file in everything if is_file_wanted(file, wanted)]
        for is_ascending in (False, True):
            listed = read_pages(
                lambda cursor: reader.list_files(wanted, cursor, limit, is_ascending=is_ascending),  # noqa: B023
                limit,
            )
            assert listed == (expected[::-1] if is_ascending else expected), wanted
        found += len(expected)
    assert found > 500


@pytest.mark.parametrize("name", FileFilter.__struct_fields__)
def test_files_are_listed_by_one_thing_alone(name: str, history: RandomExchange, reader: IndexReader) -> None:
    everything = list_all_files(history)
    values = {
        "text": ["rain", "RAIN", "ain", "x", "天気", "天気予報", "strasse", "nothing like it", "", " \n"],
        "tags": [("weather",), ("RAIN",), ("strasse", "İ"), ("rain", "unknown"), ()],
        "media_type": ["image", "IMAGE/PNG", "text/csv", "", "imag", "image/"],
        "validator": [*{file.validator for file in everything}, history.accounts[-1]],
        "owner": [*{file.owner for file in everything}, history.strangers[0]],
        "service_node": [*{file.service_node for file in everything}, history.accounts[-1]],
        "asset": [*history.assets, b"\x02" * 20],
        "is_all": [False, True],
    }[name]
    counts = set()
    for value in values:
        wanted = FileFilter(**{"is_all": True} | {name: value})
        expected = [file for file in everything if is_file_wanted(file, wanted)]
        assert list(reader.list_files(wanted, limit=1000).items) == expected, value
        assert list(reader.list_files(wanted, limit=1000, is_ascending=True).items) == expected[::-1], value
        counts.add(len(expected))
    assert len(counts) > 1


def test_every_file_is_a_cursor_for_both_ways(history: RandomExchange, reader: IndexReader) -> None:
    for wanted in (FileFilter(is_all=True), FileFilter(), FileFilter(text="rain"), FileFilter(tags=("rain",))):
        everything = [file for file in list_all_files(history) if is_file_wanted(file, wanted)]
        for place, file in enumerate(everything):
            cursor = encode_file_cursor(file)
            older, newer = everything[place + 1 :][:2], everything[:place][-2:][::-1]
            assert list(reader.list_files(wanted, cursor, limit=2).items) == older
            assert list(reader.list_files(wanted, cursor, limit=2, is_ascending=True).items) == newer


def test_what_is_no_sound_question_is_refused(reader: IndexReader) -> None:
    for limit in (0, -1, 1001):
        with pytest.raises(MalformedRequest, match="limit"):
            reader.list_files(limit=limit)
        with pytest.raises(MalformedRequest, match="limit"):
            reader.list_tags(limit=limit)
    for cursor in ("", "7", "8" + "0" * 15, "G" * 16):
        with pytest.raises(MalformedRequest, match="cursor"):
            reader.list_files(cursor=cursor)


def test_pages_go_on_where_they_ended_while_files_arrive(tmp_path: Path) -> None:
    history = RandomExchange(31)
    history.run(100)
    there = list_all_files(history)
    with open_index(tmp_path / "index.sqlite", history) as (writer, reader):
        listed: list[Hash] = []
        cursor = None
        for _ in range(1000):
            page = reader.list_files(FileFilter(is_all=True), cursor, limit=2)
            listed += [file.id for file in page.items]
            cursor = page.cursor
            if cursor is None:
                break
            history.add_block()
            writer.apply(list(enumerate(history.entries))[writer.height :])
    assert listed == [file.id for file in there]
    assert len(list_all_files(history)) > len(there)


# --- bounds


@pytest.mark.parametrize("is_ascending", [False, True])
@pytest.mark.parametrize("bound", [1, 3])
def test_a_rare_file_is_sought_for_a_bounded_time_and_then_on_the_next_page(
    bound: int, is_ascending: bool, history: RandomExchange, reader: IndexReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_VISITED", bound)
    rng = random.Random(8)
    everything, short_count = list_all_files(history), 0
    for _ in range(100):
        wanted = make_file_filter(history, rng)
        listed, counts = list_to_the_end(
            lambda cursor: reader.list_files(wanted, cursor, limit=2, is_ascending=is_ascending)  # noqa: B023
        )
        expected = [file for file in everything if is_file_wanted(file, wanted)]
        assert listed == (expected[::-1] if is_ascending else expected), wanted
        short_count += len([count for count in counts[:-1] if count < 2])
    assert short_count > 50


def test_no_page_looks_at_more_than_some_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked of thousands of files, and however few of them answer it."""
    history = RandomExchange(32, account_count=4)
    history.list_asset()
    common = {"name": "rain gauge", "tags": ("rain",), "media_type": "text/csv", "description": ""}
    for number in range(3):
        first = {"name": "the xq of rain"} if number == 0 else {}
        history.stock([common | first, *[common] * 999])
    looks: list[int] = []
    read_file = files.read_file

    def read_and_count(*args: Any) -> IndexedFile | None:
        looks[-1] += 1
        return read_file(*args)

    monkeypatch.setattr(files, "read_file", read_and_count)
    with open_index(tmp_path / "index.sqlite", history) as (_, reader):

        def look(wanted: FileFilter, cursor: str | None) -> Page[IndexedFile]:
            looks.append(0)
            return reader.list_files(wanted, cursor, limit=5)

        for wanted, found in (
            (FileFilter(text="xq"), 1),
            (FileFilter(text="rain xq"), 1),
            (FileFilter(text="zz"), 0),
            (FileFilter(media_type="image"), 0),
            (FileFilter(text="rain", media_type="image"), 0),
            (FileFilter(tags=("rain",), text="xq"), 1),
            (FileFilter(owner=history.accounts[1], text="xq"), 1),
            (FileFilter(asset=b"\x02" * 20), 0),
        ):
            looks.clear()
            listed, counts = list_to_the_end(lambda cursor: look(wanted, cursor), 10)  # noqa: B023
            assert len(listed) == found, wanted
            assert looks == [files.MAX_VISITED] * 3, wanted
            assert counts[:2] == [0, 0]
        for wanted, found in ((FileFilter(text="gauge rain xqq"), 0), (FileFilter(text="the rain"), 1)):
            looks.clear()
            listed, _ = list_to_the_end(lambda cursor: look(wanted, cursor), 10)  # noqa: B023
            assert (len(listed), looks) == (found, [found]), wanted


def test_the_shortest_list_is_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that one's own few files are found at once among all that have the word, and a rare word among one's many."""
    monkeypatch.setattr(files, "MAX_VISITED", 10)
    history = RandomExchange(33, account_count=6)
    history.list_asset()
    common = {"name": "rain gauge", "tags": ("rain",), "media_type": "", "description": ""}
    history.stock([common | {"name": "a rare thing", "tags": ("rain", "rare")}, *[common] * 20])
    history.stock([common], 2, 3)
    history.stock([common] * 20)
    with open_index(tmp_path / "index.sqlite", history) as (_, reader):
        for wanted in (
            FileFilter(text="rain", owner=history.accounts[3]),
            FileFilter(text="rain", validator=history.accounts[2]),
            FileFilter(tags=("rain",), validator=history.accounts[2], owner=history.accounts[3]),
            FileFilter(text="rare", owner=history.accounts[1]),
            FileFilter(tags=("rare", "rain"), owner=history.accounts[1]),
            FileFilter(tags=("rain",), text="rare", owner=history.accounts[1]),
        ):
            page = reader.list_files(wanted)
            assert (len(page.items), page.cursor) == (1, None), wanted


# --- words


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Files whose names are `SHELF`, and nothing else is said of them."""
    history = RandomExchange(34, account_count=3)
    history.list_asset()
    history.stock([{"name": name, "tags": (), "media_type": "", "description": ""} for name in SHELF])
    with open_index(tmp_path_factory.mktemp("shelf") / "index.sqlite", history) as (_, reader):
        yield reader


SHELF = (
    "Straßenverzeichnis",
    "STRASSE",
    "İstanbul",
    "Istanbul",
    "ılık",
    "ΟΔΟΣ",
    "οδός",
    "ｆｕｌｌ ｗｉｄｔｈ",
    "ﬁnal oﬃce",
    "Ma\u0308rz",  # decomposed
    "März",
    "Marz",
    "天気予報",
    "天気",
    "ﾃﾝｷ",
    "テンキ",
    "날씨",
    "🌧️ rain",
    "🌧🌧🌧",
    "👩‍👩‍👧‍👦",
    "k\u00e9\u0323",  # two marks in the one order
    "ke\u0323\u0301",  # and in the other
    'say "rain"',
    "it's",
    "AND",
    "OR",
    "NOT",
    "NEAR(a b, 2)",
    "name:rain",
    "rain*",
    "^rain",
    "(rain OR snow)",
    "vv\0ww",
    "x",
    "100%_",
    "back\\slash",
    "-rain",
    "{rain}",
    "rain + snow",
    "b\u200bc",  # a space of no width is none
    "non\u00a0breaking",
    "ideographic　space",
    "<script>",
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("straße", ["STRASSE", "Straßenverzeichnis"]),
        ("STRASSE", ["STRASSE", "Straßenverzeichnis"]),
        ("STRAẞE", ["STRASSE", "Straßenverzeichnis"]),
        ("ß", ["STRASSE", "Straßenverzeichnis"]),
        ("istanbul", ["Istanbul", "İstanbul"]),
        ("İSTANBUL", ["Istanbul", "İstanbul"]),
        ("ISTANBUL", ["Istanbul", "İstanbul"]),
        ("ılık", ["ılık"]),
        ("ILIK", []),  # known: without a language, a capital I is never an ı
        ("οδος", ["ΟΔΟΣ"]),
        ("ΟΔΌΣ", ["οδός"]),  # accents are told apart
        ("οδόσ", ["οδός"]),
        ("ς", ["ΟΔΟΣ", "οδός"]),
        ("full WIDTH", ["ｆｕｌｌ ｗｉｄｔｈ"]),
        ("ＩＳＴＡＮＢＵＬ", ["Istanbul", "İstanbul"]),
        ("final office", ["ﬁnal oﬃce"]),
        ("ffi", ["ﬁnal oﬃce"]),
        ("märz", ["März", "Ma\u0308rz"]),
        ("MA\u0308RZ", ["März", "Ma\u0308rz"]),
        ("är", ["März", "Ma\u0308rz"]),
        ("marz", ["Marz"]),
        ("天", ["天気", "天気予報"]),
        ("天気", ["天気", "天気予報"]),
        ("天気予", ["天気予報"]),
        ("気予報", ["天気予報"]),
        ("テンキ", ["テンキ", "ﾃﾝｷ"]),
        ("ﾃﾝｷ", ["テンキ", "ﾃﾝｷ"]),
        ("날", ["날씨"]),
        ("🌧", ["🌧️ rain", "🌧🌧🌧"]),
        ("🌧🌧🌧", ["🌧🌧🌧"]),
        ("👩‍👧", ["👩‍👩‍👧‍👦"]),
        ("k\u1eb9\u0301", ["k\u00e9\u0323", "ke\u0323\u0301"]),
        ('"rain"', ['say "rain"']),
        ('"', ['say "rain"']),
        ('""', []),
        ('"""', []),
        ("'", ["it's"]),
        ("AND", ["AND"]),
        ("and", ["AND"]),
        ("OR", ["(rain OR snow)", "OR"]),
        ("rain OR snow", ["(rain OR snow)"]),
        ("rain NOT snow", []),
        ("NEAR(", ["NEAR(a b, 2)"]),
        ("name:rain", ["name:rain"]),
        ("text:rain", []),
        ("rain*", ["rain*"]),
        ("rai*", []),
        ("^rain", ["^rain"]),
        ("(rain", ["(rain OR snow)"]),
        ("{rain}", ["{rain}"]),
        ("-rain", ["-rain"]),
        ("rain + snow", ["rain + snow"]),
        ("%", ["100%_"]),
        ("_", ["100%_"]),
        ("s%", []),
        ("\\", ["back\\slash"]),
        ("vv\0ww", ["vv\0ww"]),
        ("VV ww", ["vv\0ww"]),
        ("\0", SHELF),
        ("\ud800", SHELF),
        ("snow\ud800rain", ["(rain OR snow)", "rain + snow"]),
        ("b\u200bc", ["b\u200bc"]),
        ("breaking non", ["non\u00a0breaking"]),
        ("space　ideographic", ["ideographic　space"]),
        ("IDEOGRAPHIC", ["ideographic　space"]),
        ("<SCRIPT>", ["<script>"]),
        ("", SHELF),
        (" \t\n\u3000", SHELF),
        (None, SHELF),
    ],
)
def test_text_is_found_as_it_is_written(shelf: IndexReader, text: str | None, found: list[str]) -> None:
    assert list_names(shelf, text) == sorted(found)


def test_rain_is_found_wherever_it_stands(shelf: IndexReader) -> None:
    assert (
        list_names(shelf, "RAIN") == list_names(shelf, "rai ain") == sorted([name for name in SHELF if "rain" in name])
    )
    assert len(list_names(shelf, "rain")) > 8


@pytest.mark.parametrize("name", SHELF, ids=ascii)
def test_everything_is_found_by_itself(shelf: IndexReader, name: str) -> None:
    for text in (
        name,
        name.casefold(),
        *[unicodedata.normalize(form, name) for form in ("NFC", "NFD", "NFKC", "NFKD")],
    ):
        assert name in list_names(shelf, text), ascii(text)


@pytest.mark.parametrize(
    "text", ["\udfff" * 3, "\0" * 600, '"' * 600, "*", "a" * 100_000, "天" * 1000, "rain " * 10**5]
)
def test_no_text_is_an_error(shelf: IndexReader, text: str) -> None:
    for is_ascending in (False, True):
        shelf.list_files(FileFilter(text=text, tags=(text,), media_type=text), is_ascending=is_ascending)
        shelf.list_files(FileFilter(text=text), is_ascending=is_ascending)
        shelf.list_files(FileFilter(tags=(text,)), is_ascending=is_ascending)


def test_random_text_is_no_syntax(shelf: IndexReader) -> None:
    rng = random.Random(9)
    characters = "\"'*^:(){}+-<>=,;\\%_ \0\n\tabcrainORANDNOTNEAR天気🌧\u0308\u200dßİΣσς\ud800"
    for _ in range(2000):
        text = "".join(rng.choices(characters, k=rng.randrange(1, 12)))
        expected = [name for name in SHELF if is_file_wanted(make_named(name), FileFilter(text=text))]
        assert list_names(shelf, text) == sorted(expected), ascii(text)


def make_named(name: str) -> IndexedFile:
    """A file of which only the name is looked at."""
    values: dict[str, Any] = dict.fromkeys(IndexedFile.__struct_fields__)
    return IndexedFile(**values | {"name": name, "description": "", "media_type": "", "tags": (), "is_delisted": False})


def test_terms_beyond_the_eighth_are_not_looked_at(shelf: IndexReader) -> None:
    assert list_names(shelf, " ".join(["rain"] * MAX_TERMS + ["nowhere"])) == list_names(shelf, "rain")
    assert list_names(shelf, " ".join(["rain"] * (MAX_TERMS - 1) + ["nowhere"])) == []
    assert list_names(shelf, "rain" + " " * 600 + "nowhere") == list_names(shelf, "rain")


def test_a_text_that_two_fields_have_only_together_is_in_neither(tmp_path: Path) -> None:
    history = RandomExchange(35, account_count=3)
    history.list_asset()
    fields = {"name": "abcd", "description": "efgh", "media_type": "text/ijkl", "tags": ("mnop", "qrst uvwx")}
    history.stock([fields])
    with open_index(tmp_path / "index.sqlite", history) as (_, reader):
        for text in ("abcd", "efgh", "text/ijkl", "mnop", "qrst", "uvwx abcd", "X D", "st UV gh"):
            assert list_names(reader, text) == ["abcd"], text
        for text in ("abcdefgh", "cdef", "ijklmnop", "mnopqrst", "pq", "de", "lm"):
            assert list_names(reader, text) == [], text


def test_words_are_found_however_the_writer_was_stopped(history: RandomExchange, reader: IndexReader) -> None:
    """Every word of the random histories, of which chunks of a few records were made."""
    everything = list_all_files(history)
    for word in WORDS:
        wanted = FileFilter(text=word, is_all=True)
        assert list(reader.list_files(wanted, limit=1000).items) == [
            file for file in everything if is_file_wanted(file, wanted)
        ], ascii(word)


# --- tags


def test_tags_are_counted_over_files_that_are_not_delisted(history: RandomExchange, reader: IndexReader) -> None:
    tags = reader.list_tags(limit=1000)
    for found in tags:
        assert found.count == len(reader.list_files(FileFilter(tags=(found.tag,)), limit=1000).items) > 0
    assert tags == sorted(tags, key=lambda found: (-found.count, found.tag))
    assert reader.list_tags(limit=3) == tags[:3]
    named = {tag for file in list_all_files(history) if not file.is_delisted for tag in file.tags}
    assert {found.tag for found in tags} == {files.fold_text(tag) for tag in named}
    assert len(tags) < len(named)


def test_a_tag_whose_files_are_all_delisted_is_still_found(history: RandomExchange, reader: IndexReader) -> None:
    with sqlite3.connect(reader._path) as db:
        rows = db.execute("SELECT tag, count FROM tags").fetchall()
    everything = list_all_files(history)
    for tag, count in rows:
        wanted = FileFilter(tags=(tag,), is_all=True)
        found = reader.list_files(wanted, limit=1000).items
        assert list(found) == [file for file in everything if is_file_wanted(file, wanted)]
        assert len([file for file in found if not file.is_delisted]) == count
