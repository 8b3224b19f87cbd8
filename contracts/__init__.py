"""The compiled contracts, as committed in `artifacts/` by `python -m contracts.build`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARTIFACTS = Path(__file__).parent / "artifacts"
GAS = Path(__file__).parent / "gas.json"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract. `abi`, `storage_layout` and `compiler` are the compiler's own JSON.

    `immutables`: name → places in `deployed_bytecode` where a deployment puts its word of 32 bytes, and here are zeros;
    but for those, `deployed_bytecode` is what a deployment leaves on chain. `storage_layout` names each storage
    variable's slot: `{"storage": [{"label", "offset", "slot", "type"}], "types"}`.
    """

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    deployed_bytecode: bytes
    immutables: dict[str, list[int]]
    storage_layout: dict[str, Any]
    compiler: dict[str, Any]

    def get_slot(self, label: str) -> int:
        """Slot of the storage variable of that name. Raises KeyError if there is none."""
        for variable in self.storage_layout["storage"]:
            if variable["label"] == label:
                return int(variable["slot"])
        raise KeyError(label)

    def get_function(self, name: str) -> dict[str, Any]:
        """ABI entry of the function of that name. Raises KeyError if there is none."""
        for entry in self.abi:
            if entry["type"] == "function" and entry["name"] == name:
                return entry
        raise KeyError(name)


def load_artifact(name: str) -> Artifact:
    """The committed artifact of a contract, `Settlement` say. Raises FileNotFoundError if there is none."""
    content = json.loads((ARTIFACTS / f"{name}.json").read_bytes())
    return Artifact(
        name=content["contractName"],
        abi=content["abi"],
        bytecode=bytes.fromhex(content["bytecode"].removeprefix("0x")),
        deployed_bytecode=bytes.fromhex(content["deployedBytecode"].removeprefix("0x")),
        immutables=content["immutables"],
        storage_layout=content["storageLayout"],
        compiler=content["compiler"],
    )


def load_standard_input(name: str) -> dict[str, Any]:
    """What the compiler made that contract of, in its own JSON: sources, with those of libraries, and settings.

    Raises FileNotFoundError for one whose source is not kept for publishing.
    """
    loaded: dict[str, Any] = json.loads((ARTIFACTS / f"{name}.input.json").read_bytes())
    return loaded


def load_gas() -> dict[str, int]:
    """What the contract's calls cost in steady use, by name. The contract's tests hold them to it."""
    figures: dict[str, int] = json.loads(GAS.read_bytes())
    return figures


def compute_commit_gas(asset_count: int) -> int:
    """Gas of a commitment of so many assets that all had deposits: as measured, or on the line through the two nearest
    counts that were."""
    measured = {}
    for name, gas in load_gas().items():
        found = re.fullmatch(r"commit, (\d+) assets?", name)
        if found:
            measured[int(found[1])] = gas
    low, high = sorted(sorted(measured, key=lambda count: abs(count - asset_count))[:2])
    return measured[low] + -(-(measured[high] - measured[low]) * (asset_count - low) // (high - low))
