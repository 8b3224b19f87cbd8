"""CSV files for spreadsheets: RFC 4180 in UTF-8, whole or not there at all.

Lines that are one cell, which begins with `# `, stand around the table: what it is of above it, `# end of N rows`
below. That is the last row as a reader of CSV takes it: a memo may say the same within its quotes. Amounts are exact
decimals without grouping, beside their base units.
"""

import csv
import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

from client.amounts import format_amount
from client.cli.exits import BadUsage
from client.protocol import Asset

_FORMULA_SIGNS: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n", "'")


class Sheet:
    """A table being written, row by row."""

    def __init__(self, file: TextIO) -> None:
        self._writer = csv.writer(file, lineterminator="\r\n")
        self.count = 0

    def write(self, *cells: str | int) -> None:
        self._writer.writerow(cells)
        self.count += 1


@contextmanager
def open_sheet(path: str, facts: Mapping[str, Any], columns: Sequence[str]) -> Iterator[Sheet]:
    """`path`: `-` for standard output. A file gets its name when it is whole. Raises `BadUsage` where none can be
    made."""
    if path == "-":
        with _fill(sys.stdout, facts, columns) as sheet:
            yield sheet
        return
    target = Path(path)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        file = draft.open("x", encoding="utf-8", newline="")
    except OSError as error:
        raise BadUsage(f"--csv {path}: {error.strerror}") from error
    try:
        with file:
            with _fill(file, facts, columns) as sheet:
                yield sheet
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def guard(text: str) -> str:
    """A text that no spreadsheet takes for a formula: what others wrote may begin as one, and then has an apostrophe
    before it."""
    return f"'{text}" if text.startswith(_FORMULA_SIGNS) else text


def show_decimal(base_units: int, asset: Asset | None) -> str:
    """Exact; empty where the asset's decimals are not known, and base units stand alone."""
    return "" if asset is None or asset.decimals is None else format_amount(base_units, asset.decimals)


@contextmanager
def _fill(file: TextIO, facts: Mapping[str, Any], columns: Sequence[str]) -> Iterator[Sheet]:
    head = Sheet(file)
    for name, value in facts.items():
        head.write(f"# {name}: {value}")
    head.write(*columns)
    sheet = Sheet(file)
    yield sheet
    file.write(f"# end of {sheet.count} rows\r\n")
