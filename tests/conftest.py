"""Where the tests find the programs that are not Python's: installed by `make test` from tests/package-lock.json."""

import shutil
from pathlib import Path

import pytest

NODE_MODULES = Path(__file__).parent / "node_modules"
NODE_BIN = NODE_MODULES / ".bin"


def get_program(name: str) -> Path:
    """The pinned program; where none is built for the platform, the one on the path. A missing one fails the test."""
    found = shutil.which(name, path=str(NODE_BIN)) or shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is neither in {NODE_BIN} nor on the path: run `make test`, or install Foundry 1.7.1")
    return Path(found)


@pytest.fixture(scope="session")
def anvil_path() -> Path:
    """Foundry's Ethereum client: the real node of the integration tests."""
    return get_program("anvil")


@pytest.fixture(scope="session")
def cast_path() -> Path:
    """Foundry's command line: a signer and ABI coder that shares no code with ours."""
    return get_program("cast")
