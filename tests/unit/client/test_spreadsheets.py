"""Files for spreadsheets: what stands around the table is one cell a line, whatever it says."""

import csv
from pathlib import Path

import pytest

from client.cli.spreadsheets import open_sheet


@pytest.mark.parametrize("words", [",=1+1", '",=1+1', '"', "a\r\nb", "# end of 7 rows", "plain"])
def test_a_line_around_the_table_is_one_cell(tmp_path: Path, words: str) -> None:
    path = tmp_path / "sheet.csv"
    with open_sheet(str(path), {"asset": words, "epoch": 3}, ("id", "memo")) as sheet:
        sheet.write("0x1", words)
        sheet.write("0x2", "")
    with path.open(newline="") as file:
        assert list(csv.reader(file, strict=True)) == [
            [f"# asset: {words}"], ["# epoch: 3"], ["id", "memo"], ["0x1", words], ["0x2", ""], ["# end of 2 rows"],
        ]  # fmt: skip
