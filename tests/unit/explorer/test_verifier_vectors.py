"""The verifier of the reader's browser against every vector that it has a part in; its library against its source."""

import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
from coincurve import PrivateKey, PublicKey

from chain.signatures import compute_address
from tests.unit.explorer.verifying import run_jobs
from tests.vectors import FOLDER, Case, list_layouts, load_cases, to_bytes

VENDOR: Final = Path(__file__).parents[3] / "explorer" / "vendor"

LAYOUTS: Final = (
    "account_leaf",
    "commitment",
    "domain",
    "header",
    "instruction",
    "ledger",
    "list_proof",
    "list_tree",
    "payment",
    "registry",
    "registry_entry",
    "registry_proof",
    "signature",
    "stored_hash",
    "sum_proof",
    "sum_tree",
    "withdrawal",
    "withdrawal_claim",
)
NOT_VERIFIED_THERE: Final = {
    "continues",
    "credit",
    "debit",
    "genesis",
    "nonce_window",
    "request_id",
    "sealed_key",
    "shares",
    "storage_charge",
}
"""What belongs to whole ledgers and to statements: `tally audit` and `tally statement` look at those. And whether a
split or a charge is right is the ledger's to say: a receipt does not hold the listing that it follows from."""

CASES: Final = [(layout, case) for layout in LAYOUTS for case in load_cases(layout)]


@pytest.fixture(scope="module")
def results() -> dict[tuple[str, str], Any]:
    """(layout, description) → what the verifier says; one process for all of them."""
    jobs = [
        {"op": "vector", "layout": layout, "vector": {"input": case.input, "want": case.want}} for layout, case in CASES
    ]
    found = run_jobs(jobs)
    return {(layout, case.desc): result for (layout, case), result in zip(CASES, found, strict=True)}


@pytest.mark.parametrize(("layout", "case"), CASES, ids=[f"{layout}: {case.desc}" for layout, case in CASES])
def test_the_browser_agrees(results: dict[tuple[str, str], Any], layout: str, case: Case) -> None:
    result = results[layout, case.desc]
    if case.error is not None:
        assert result.get("error") == case.error
        return
    assert "error" not in result
    assert case.want is not None
    expect(layout, case.input, case.want, result)


def test_every_vector_file_is_accounted_for() -> None:
    assert {*LAYOUTS, *NOT_VERIFIED_THERE} == {path.stem for path in FOLDER.glob("*.json")} == set(list_layouts())


def test_the_library_is_what_its_pinned_source_builds_to() -> None:
    assert (VENDOR / "node_modules").is_dir(), "run: make node-tools"
    node = shutil.which("node")
    assert node is not None, "this test needs Node.js 18 or later"
    process = subprocess.run(
        [node, str(VENDOR / "build.js"), "--check"], capture_output=True, text=True, timeout=60, check=False
    )
    assert process.returncode == 0, process.stderr


def expect(layout: str, given: dict[str, Any], want: dict[str, Any], result: dict[str, Any]) -> None:
    """Trees and headers come with what the verifier does not make: there it is held against what it does make."""
    if layout in ("list_tree", "sum_tree"):
        assert result.pop("roots") == [want["root"]] * len(want["proofs"])
        assert result == {name: want[name] for name in result}
    elif layout in ("header", "commitment"):
        assert result.pop("signer") == get_signer(given["privateKey"])
        assert result == {name: value for name, value in want.items() if name != "signature"}
    elif layout == "instruction":
        assert result == {name: value for name, value in want.items() if name != "journal"}
    elif layout == "registry":
        assert result.pop("extraRoots") == [want["extraRoot"]] * len(want["proofs"])
        assert result == {"extraRoot": want["extraRoot"]}
    elif layout == "ledger":
        assert result["blocks"] == [block["hash"] for block in want["blocks"]]
        assert result["epochs"] == [epoch["digest"] for epoch in want["epochs"]]
    elif layout == "withdrawal":
        assert result["hash"] == want["hash"]
    else:
        assert result == want


def get_signer(private_key: str) -> str:
    return "0x" + compute_address(PublicKey.from_secret(PrivateKey(to_bytes(private_key)).secret)).hex()
