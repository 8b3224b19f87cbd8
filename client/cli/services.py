"""What runs: `devnet node l1`, and `version`. Their code is imported when they are started."""

import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer

from client.cli import options, output
from client.cli.exits import BadUsage
from client.errors import ClientError


class NotStarted(ClientError):
    """A service could not be started, or ended by itself; the message says why."""


def register(app: typer.Typer) -> None:
    app.command("devnet")(run_devnet)
    app.command("node")(run_node)
    app.command("l1")(run_l1)
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
        Path | None, typer.Option("--data-dir", help=r"Resumed if it holds a chain. \[a temporary one]")
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
