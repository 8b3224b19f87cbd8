"""What runs: `devnet node l1 deploy`, and `version`. Their code is imported when they are started."""

import asyncio
import json
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from chain import wire
from chain.primitives import ETHER, Address
from client.cli import options, output
from client.cli.exits import BadUsage
from client.errors import ClientError, Unreachable
from client.files import write_durably
from client.keys import KeyProblem, Keystore

if TYPE_CHECKING:
    from node.ethereum.deploy import Deployed, SettlementParameters

_YEAR_S: Final = 365 * 86_400


class NotStarted(ClientError):
    """A service could not be started, or ended by itself; the message says why."""


def register(app: typer.Typer) -> None:
    app.command("devnet")(run_devnet)
    app.command("node")(run_node)
    app.command("l1")(run_l1)
    app.command("deploy")(deploy)
    app.command("version")(show_version)


def show_version(is_json: options.Json = False) -> None:
    """Show which release this is."""
    try:
        release = version("tallystick")
    except PackageNotFoundError:  # run from a tree that was never installed
        from node import __version__ as release
    if is_json:
        output.print_json({"name": "tallystick", "version": release})
    else:
        output.print_line(f"tallystick {release}")


def run_devnet(
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Resumed if it holds a network.")] = Path("data/devnet"),
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Of node and explorer; 0 for any free one.")] = 8645,
    l1_port: Annotated[int, typer.Option("--l1-port", help="Of the embedded Ethereum; 0 for any free one.")] = 8545,
    l1_url: Annotated[
        str | None, typer.Option("--l1-url", help="Another Ethereum instead, mining by the clock. Wins over --l1-port.")
    ] = None,
    epoch_s: Annotated[int, typer.Option("--epoch-seconds", help="Length of an epoch.")] = 10,
    challenge_period_s: Annotated[
        int, typer.Option("--challenge-period", help="Seconds until an epoch is final; of a new network only.")
    ] = 60,
    ready_file: Annotated[
        Path | None, typer.Option("--ready-file", help="Written once all answers: one JSON object.")
    ] = None,
    has_demo: Annotated[bool, typer.Option("--demo", help="With traffic, so that there is something to see.")] = False,
) -> None:
    """Start a whole network on this machine: Ethereum, contract, token, ten funded accounts, node, explorer."""
    from devnet.l1.process import L1DidNotStart
    from devnet.launch import run
    from devnet.settings import DevnetOptions, DevnetProblem
    from node.ethereum.faults import EthereumFault, Reverted

    chosen = DevnetOptions(
        data_dir=data_dir,
        host=host,
        port=port,
        l1_port=l1_port,
        l1_url=l1_url,
        epoch_seconds=epoch_s,
        challenge_period=challenge_period_s,
        ready_file=ready_file,
        demo=has_demo,
    )
    output.note("starting; the first time takes half a minute")
    try:
        run(chosen, _show_devnet)
    except (DevnetProblem, L1DidNotStart, EthereumFault, Reverted) as error:
        raise NotStarted(str(error)) from error


def run_node(
    config: Annotated[
        Path | None,
        typer.Option("--config", help="TOML file. Environment variables (TALLYSTICK_…) go over it, or do without it."),
    ] = None,
) -> None:
    """Run a node."""
    from node.app import JournalBehindChain, run
    from node.config import ConfigurationError, load_config
    from node.ethereum.faults import WrongDeployment
    from node.recovery import DifferentLedger

    try:
        run(load_config(config), lambda port: output.note(f"listening on port {port}"))
    except ConfigurationError as error:
        raise BadUsage(f"configuration: {error}") from error
    except (DifferentLedger, JournalBehindChain, WrongDeployment) as error:
        raise NotStarted(str(error)) from error


def run_l1(
    port: Annotated[int, typer.Option("--port", help="0 for any free one.")] = 8545,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Resumed if it holds a chain. [a temporary one]")
    ] = None,
    chain_id: Annotated[int | None, typer.Option("--chain-id", help="Of a new chain. [31337]")] = None,
    block_time_s: Annotated[int, typer.Option("--block-time", help="Seconds between blocks.")] = 1,
) -> None:
    """Run the embedded development Ethereum by itself."""
    from devnet.l1.app import run
    from devnet.l1.store import DataDirectoryError

    output.note(f"Ethereum on http://{host}:{port}")
    try:
        run(port, data_dir, chain_id, block_time_s, host=host)
    except DataDirectoryError as error:
        raise NotStarted(str(error)) from error


def deploy(
    operator: Annotated[
        str, typer.Option("--operator", help="Signs blocks and commitments: a key's name, or address.")
    ],
    cold_key: Annotated[str, typer.Option("--cold-key", help="Kept offline; ends the ledger, rotates keys.")],
    listing_key: Annotated[str, typer.Option("--listing-key", help="May list assets, and nothing else.")],
    asset: Annotated[
        list[str] | None, typer.Option("--asset", help="Address of a token, or `ether`; once for each. [ether]")
    ] = None,
    native_asset: Annotated[str, typer.Option("--native-asset", help="One of the assets.")] = "ether",
    challenge_period_s: Annotated[int, typer.Option("--challenge-period", help="Seconds.")] = 7 * 86_400,
    answer_period_s: Annotated[int, typer.Option("--answer-period", help="Seconds.")] = 86_400,
    follow_up_s: Annotated[int, typer.Option("--follow-up", help="Seconds.")] = 86_400,
    min_interval_s: Annotated[int, typer.Option("--min-interval", help="Seconds between two cuts at least.")] = 1_800,
    max_silence_s: Annotated[int, typer.Option("--max-silence", help="Seconds until silence halts it.")] = 3 * 86_400,
    listing_delay_s: Annotated[int, typer.Option("--listing-delay", help="Seconds before an asset counts.")] = 86_400,
    gas_key: Annotated[
        str | None, typer.Option("--gas-key", help="For --out-config: the key that will pay for commitments. [--key]")
    ] = None,
    out_config: Annotated[Path | None, typer.Option("--out-config", help="Write a node's configuration here.")] = None,
    is_confirmed: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    l1_url: options.L1Url = options.DEFAULT_L1_URL,
    key: options.Key = None,
    private_key: options.PrivateKey = None,
    keys_dir: options.KeysDir = None,
    password_file: options.PasswordFile = None,
    is_json: options.Json = False,
) -> None:
    """Put a Settlement contract on Ethereum. What it costs is shown, and asked about, first.

    Operator, cold and listing key must be three keys; --key (or --private-key) pays.
    """
    from node.ethereum.deploy import SettlementParameters

    keystore = Keystore(keys_dir)
    assets = [_parse_asset(name) for name in asset or ["ether"]]
    native = _parse_asset(native_asset)
    if native not in assets:
        raise BadUsage("--native-asset is none of the assets")
    parameters = SettlementParameters(
        operator=options.parse_recipient(operator, keys_dir),
        cold_key=options.parse_recipient(cold_key, keys_dir),
        listing_key=options.parse_recipient(listing_key, keys_dir),
        native_asset=native,
        challenge_period=challenge_period_s,
        answer_period=answer_period_s,
        follow_up=follow_up_s,
        min_interval=min_interval_s,
        max_silence=max_silence_s,
        listing_delay=listing_delay_s,
    )
    gas_name = gas_key or key
    # Before anything is spent: can the configuration be written that was asked for?
    keys = None if out_config is None else _find_node_keys(keystore, operator, gas_name, password_file)
    signer = options.load_key(key, private_key, keys_dir, password_file)
    deployed, l1_chain_id = asyncio.run(
        _deploy(l1_url, signer.export_secret(), parameters, assets, is_confirmed=is_confirmed)
    )
    if out_config is not None and keys is not None:
        config = _write_config(deployed.address, l1_chain_id, l1_url, keys)
        write_durably(out_config.absolute(), config.encode())
    described = {
        "settlement": wire.encode_address(deployed.address),
        "l1ChainId": hex(l1_chain_id),
        "l1Transaction": wire.encode_bytes(deployed.l1_transaction),
        "l1Block": hex(deployed.l1_block),
        "gasUsed": hex(deployed.gas_used),
        "costWei": hex(deployed.cost),
        "config": None if out_config is None else str(out_config),
    }
    if is_json:
        output.print_json(described)
        return
    output.print_fields(
        [
            ("settlement", wire.encode_address(deployed.address)),
            ("l1 transaction", wire.encode_bytes(deployed.l1_transaction)),
            ("gas", str(deployed.gas_used)),
            ("cost", output.show_ether(deployed.cost)),
        ]
    )
    if out_config is not None:
        output.note(f"then: tally node --config {out_config}")


async def _deploy(
    l1_url: str, secret: bytes, parameters: "SettlementParameters", assets: list[Address], *, is_confirmed: bool
) -> "tuple[Deployed, int]":
    from eth_account import Account

    from node.ethereum.deploy import Sender, deploy_settlement, make_settlement_call
    from node.ethereum.endpoint import Endpoint
    from node.ethereum.faults import EthereumFault, Reverted
    from node.ethereum.gateway import decode_quantity

    endpoint = Endpoint(l1_url)
    try:
        l1_chain_id = decode_quantity(await endpoint.call("eth_chainId", []))
        sender = Sender(endpoint, Account.from_key(secret))
        cost = await sender.estimate_cost(make_settlement_call(parameters, assets))
        output.note(
            f"deploying to chain {l1_chain_id} from {wire.encode_address(sender.address)} costs at most "
            f"{output.show_ether(cost)}"
        )
        if not is_confirmed:
            typer.confirm("Deploy?", abort=True, err=True)
        return await deploy_settlement(sender, parameters, assets), l1_chain_id
    except Reverted as error:
        raise NotStarted(f"the contract refuses these parameters: {error}") from error
    except EthereumFault as error:
        raise Unreachable(str(error)) from error
    finally:
        await endpoint.close()


def _parse_asset(name: str) -> Address:
    return ETHER if name.lower() == "ether" else options.parse_address(name, "--asset")


def _find_node_keys(
    keystore: Keystore, operator: str, gas_name: str | None, password_file: Path | None
) -> dict[str, tuple[Path, Path]]:
    """Role → (keystore, password file). Raises `BadUsage` or `KeyProblem`."""
    if password_file is None or gas_name is None:
        raise BadUsage("--out-config needs the keystores' names (--operator, --gas-key or --key) and --password-file")
    try:
        found = {"operator": keystore.find(operator), "gas": keystore.find(gas_name)}
    except KeyProblem as error:
        raise KeyProblem(f"{error}; a node's configuration names its keystores") from error
    return {role: (stored.path.absolute(), password_file.absolute()) for role, stored in found.items()}


def _write_config(settlement: Address, l1_chain_id: int, l1_url: str, keys: dict[str, tuple[Path, Path]]) -> str:
    """TOML; JSON's strings and numbers are TOML's, too."""
    sections: dict[str, dict[str, Any]] = {
        "ethereum": {
            "url": l1_url,
            "chain_id": l1_chain_id,
            "settlement": wire.encode_address(settlement),
        }
    }
    for role, (keystore, password_file) in keys.items():
        sections[role] = {"keystore": str(keystore), "password_file": str(password_file)}
    lines = ["# Written by `tally deploy`. All that is not here has its default.\n"]
    for section, values in sections.items():
        lines.append(f"\n[{section}]\n")
        lines += [f"{name} = {json.dumps(value)}\n" for name, value in values.items()]
    return "".join(lines)


def _show_devnet(facts: dict[str, Any]) -> None:
    """What is there, and commands to paste one after another."""
    payer, payee = facts["accounts"][0], facts["accounts"][1]
    output.print_fields(
        [
            ("node and explorer", facts["rpcUrl"]),
            ("Ethereum", facts["l1Url"]),
            ("contract", facts["settlement"]),
            ("token TOK", facts["token"]),
            ("data", facts["dataDir"]),
        ]
    )
    output.print_line("\nten accounts, funded on both layers; everybody knows these keys", "bold")
    rows = [(account["address"], account["privateKey"]) for account in facts["accounts"]]
    output.print_table(["address", "private key"], rows)
    output.print_line("\ntry, in another terminal", "bold")
    # `make run` does not activate its virtual environment, and neither has the other terminal.
    path = () if shutil.which("tally") else (f'export PATH="{Path(sys.prefix) / "bin"}:$PATH"',)
    for line in (
        *path,
        f"export TALLY_NODE_URL={facts['rpcUrl']} TALLY_L1_URL={facts['l1Url']}",
        f"export TALLY_SETTLEMENT={facts['settlement']} TALLY_PRIVATE_KEY={payer['privateKey']}",
        "tally deposit 5 --asset TOK",
        f"tally send {payee['address']} 1.5 --asset TOK --memo 'first payment' --out receipt.json",
        "tally balance",
        "tally receipt receipt.json --wait committed --out receipt.json",
        "tally verify receipt.json",
        "tally audit",
    ):
        output.print_line("  " + line)
