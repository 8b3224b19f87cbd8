"""The compiled contracts, as committed in `artifacts/` by `python -m contracts.build`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARTIFACTS = Path(__file__).parent / "artifacts"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract. `abi`, `storage_layout` and `compiler` are the compiler's own JSON.

    `storage_layout` names each storage variable's slot: `{"storage": [{"label", "offset", "slot", "type"}], "types"}`.
    """

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    deployed_bytecode: bytes
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
        storage_layout=content["storageLayout"],
        compiler=content["compiler"],
    )
