"""Compiles the contracts: `python -m contracts.build [--check]`.

Writes one artifact for each contract of `src/` to `artifacts/`, and beside that of a contract that is deployed for real
`<name>.input.json`: just what its artifact is compiled from, for those who publish sources. `--check` writes nothing
and fails unless all that is there is what the sources compile to, byte for byte. Libraries and compiler come from `npm
ci` in this directory; where py-solc-x has a native compiler of the pinned version installed, that one compiles instead,
to the same bytes.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contracts import ARTIFACTS

ROOT = Path(__file__).parent
SOURCES = ROOT / "src"
NODE_MODULES = ROOT / "node_modules"
PINNED = json.loads((ROOT / "package.json").read_text())["dependencies"]
COMPILER_VERSION = PINNED["solc"]

SETTINGS: dict[str, Any] = {
    "evmVersion": "cancun",
    # The IR pipeline gives cheaper calls and smaller code than the older one. Against 200 runs, these save a commitment
    # 2 % of its gas and cost a third more code, of which there may be 24,576 bytes (EIP-170).
    "optimizer": {"enabled": True, "runs": 10_000},
    "viaIR": True,
    # The hash would change with every comment and with the path of the checkout.
    "metadata": {"bytecodeHash": "none"},
}
OUTPUTS = [
    "abi",
    "evm.bytecode.object",
    "evm.deployedBytecode.object",
    "evm.deployedBytecode.immutableReferences",
    "storageLayout",
]

PUBLISHED = {"Settlement": "src/Settlement.sol"}
"""Contract to source unit, of those whose source is to be published where they are deployed."""


class BuildError(Exception):
    """The sources do not compile, or what compiles them is not what is pinned."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m contracts.build", description="Compile the contracts.")
    parser.add_argument("--check", action="store_true", help="fail unless the committed artifacts are up to date")
    arguments = parser.parse_args()
    try:
        artifacts = build()
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return check(artifacts) if arguments.check else write(artifacts)


def build() -> dict[str, bytes]:
    """File name to content of every artifact."""
    sources = collect_sources()
    artifacts: dict[str, bytes] = {}
    for name, unit in sorted(PUBLISHED.items()):
        # From its own sources alone: what is published is what was compiled, and nothing else.
        standard_input = make_standard_input(sources, [unit], {"*": {"*": OUTPUTS, "": ["ast"]}})
        artifacts[f"{name}.input.json"] = (json.dumps(standard_input, indent=2) + "\n").encode()
        compiled = compile_artifacts(standard_input)
        artifacts[f"{name}.json"] = compiled[f"{name}.json"]
    others = [unit for unit in sources if unit.startswith("src/") and unit not in PUBLISHED.values()]
    selection = {"*": {"": ["ast"]}} | {unit: {"*": OUTPUTS} for unit in others}
    compiled = compile_artifacts(make_standard_input(sources, others, selection))
    twice = sorted(artifacts.keys() & compiled.keys())
    if twice:
        raise BuildError(f"two contracts make {' '.join(twice)}")
    return dict(sorted((artifacts | compiled).items()))


def make_standard_input(sources: dict[str, str], units: list[str], selection: dict[str, Any]) -> dict[str, Any]:
    """The compiler's input for those units and all that they import, directly or not."""
    pending, reached = list(units), set()
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending += find_imports(name, sources[name])
    return {
        "language": "Solidity",
        "sources": {name: {"content": sources[name]} for name in sorted(reached)},
        "settings": SETTINGS | {"outputSelection": selection},
    }


def compile_artifacts(standard_input: dict[str, Any]) -> dict[str, bytes]:
    """File name to content, of every contract of ours that the input asks for and that has code of its own."""
    version, output = compile_standard(standard_input)
    complaints = [error["formattedMessage"] for error in output.get("errors", []) if is_complaint(error)]
    if complaints:
        raise BuildError("\n".join(complaints))
    if version.split("+")[0] != COMPILER_VERSION:
        raise BuildError(f"compiler {version} is not the pinned {COMPILER_VERSION}")

    # Without the platform: every build of a version gives the same code.
    compiler = {"version": re.sub(r"^([^+]+\+commit\.[0-9a-f]+).*$", r"\1", version), "settings": SETTINGS}
    names = {number: name for tree in output["sources"].values() for number, name in iterate_variables(tree["ast"])}
    artifacts: dict[str, bytes] = {}
    for source, contracts in sorted(output["contracts"].items()):
        if not source.startswith("src/"):
            continue
        for name, contract in sorted(contracts.items()):
            content = standard_input["sources"][source]["content"]
            if not contract["evm"]["bytecode"]["object"] or is_library(content, name):
                continue  # interfaces have no code of their own, and libraries are part of the contracts that use them
            if f"{name}.json" in artifacts:
                raise BuildError(f"two contracts are named {name}")
            artifacts[f"{name}.json"] = encode_artifact(name, contract, compiler, names)
    return artifacts


def collect_sources() -> dict[str, str]:
    """Source unit name to content, of our sources and all that they import."""
    pending = [f"src/{path.relative_to(SOURCES).as_posix()}" for path in sorted(SOURCES.rglob("*.sol"))]
    sources: dict[str, str] = {}
    check_libraries()
    while pending:
        name = pending.pop()
        if name in sources:
            continue
        content = (ROOT / name if name.startswith("src/") else NODE_MODULES / name).read_text()
        sources[name] = content
        pending += find_imports(name, content)
    return dict(sorted(sources.items()))


def find_imports(name: str, content: str) -> list[str]:
    """Source unit names, as they stand in it."""
    return [resolve(name, imported) for imported in re.findall(r'^import [^"]*"([^"]+)";', content, re.MULTILINE)]


def resolve(importer: str, imported: str) -> str:
    """Source unit name of an import, by the compiler's rule: relative to the importer iff it begins with a dot."""
    if not imported.startswith("."):
        return imported
    parts = importer.split("/")[:-1]
    for part in imported.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def check_libraries() -> None:
    for name, version in PINNED.items():
        manifest = NODE_MODULES / name / "package.json"
        installed = json.loads(manifest.read_text())["version"] if manifest.exists() else "missing"
        if installed != version:
            raise BuildError(f"{name} is {installed}, not {version}: run `npm ci` in {ROOT}")


def compile_standard(standard_input: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Full version of the compiler, and its standard JSON output."""
    return (compile_natively if has_native_compiler() else compile_with_node)(standard_input)


def has_native_compiler() -> bool:
    try:
        import solcx
    except ModuleNotFoundError:
        return False
    return COMPILER_VERSION in {str(version) for version in solcx.get_installed_solc_versions()}


def compile_natively(standard_input: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    import solcx

    try:
        output = solcx.compile_standard(standard_input, solc_version=COMPILER_VERSION)
    except solcx.exceptions.SolcError as error:
        raise BuildError(str(error)) from error
    compiler = solcx.install.get_executable(COMPILER_VERSION)
    return str(solcx.wrapper.get_solc_version(compiler, with_commit_hash=True)), output


def compile_with_node(standard_input: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as directory:
        input_path, output_path = Path(directory, "input.json"), Path(directory, "output.json")
        input_path.write_text(json.dumps(standard_input))
        try:
            subprocess.run(["node", ROOT / "solc.cjs", input_path, output_path], cwd=ROOT, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise BuildError(f"node could not run the compiler: {error}") from error
        result = json.loads(output_path.read_text())
    return result["version"], result["compiled"]


def is_complaint(error: dict[str, Any]) -> bool:
    """Warnings about our own sources are errors; those about libraries are the libraries' own."""
    file: str = (error.get("sourceLocation") or {}).get("file", "")
    return error["severity"] == "error" or not file.startswith("@")


def is_library(source: str, name: str) -> bool:
    return re.search(rf"^library {name}\b", source, re.MULTILINE) is not None


def iterate_variables(tree: Any) -> Iterator[tuple[int, str]]:
    """(number, name) of every variable that a syntax tree declares."""
    if isinstance(tree, list):
        for item in tree:
            yield from iterate_variables(item)
    elif isinstance(tree, dict):
        if tree.get("nodeType") == "VariableDeclaration":
            yield tree["id"], tree["name"]
        for item in tree.values():
            yield from iterate_variables(item)


def encode_artifact(name: str, contract: dict[str, Any], compiler: dict[str, Any], names: dict[int, str]) -> bytes:
    references = contract["evm"]["deployedBytecode"].get("immutableReferences", {})
    if any(place["length"] != 32 for places in references.values() for place in places):
        raise BuildError(f"{name} has an immutable that is no word")
    places = {names[int(number)]: sorted(place["start"] for place in found) for number, found in references.items()}
    if len(places) != len(references):
        raise BuildError(f"two immutables of {name} have one name")
    artifact = {
        "contractName": name,
        "compiler": compiler,
        "abi": contract["abi"],
        "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
        "deployedBytecode": "0x" + contract["evm"]["deployedBytecode"]["object"],
        "immutables": dict(sorted(places.items())),
        "storageLayout": normalise_layout(contract["storageLayout"]),
    }
    return (json.dumps(artifact, indent=2) + "\n").encode()


def normalise_layout(layout: dict[str, Any]) -> dict[str, Any]:
    """Without the numbers of syntax tree nodes, which change with every edit anywhere."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {strip(key): strip(item) for key, item in value.items() if key not in ("astId", "contract")}
        if isinstance(value, list):
            return [strip(item) for item in value]
        if isinstance(value, str):
            return re.sub(r"(t_(?:struct|enum|contract)\([^()]*\))\d+", r"\1", value)
        return value

    stripped: dict[str, Any] = strip(layout)
    if len(stripped["types"] or {}) != len(layout["types"] or {}):
        raise BuildError("two types of the storage layout have one name")
    return stripped


def write(artifacts: dict[str, bytes]) -> int:
    ARTIFACTS.mkdir(exist_ok=True)
    for stale in ARTIFACTS.glob("*.json"):
        if stale.name not in artifacts:
            stale.unlink()
    for name, content in artifacts.items():
        (ARTIFACTS / name).write_bytes(content)
    print(f"wrote {len(artifacts)} artifacts")
    return 0


def check(artifacts: dict[str, bytes]) -> int:
    committed = {path.name: path.read_bytes() for path in ARTIFACTS.glob("*.json")}
    stale = sorted(name for name in artifacts.keys() | committed.keys() if artifacts.get(name) != committed.get(name))
    for name in stale:
        print(f"{name} is not what the sources compile to", file=sys.stderr)
    if not stale:
        print(f"{len(artifacts)} artifacts are up to date")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
