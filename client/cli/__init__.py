"""The `tally` command. `tally --help` lists what it can do; `client.cli.exits` says how it ends.

Commands that start something (a node, a development Ethereum) import the code of it when they are run; all others need
nothing but the client.
"""

import sys

import typer
from typer._click.exceptions import (
    ClickException,
    UsageError,
)  # Typer brings its own Click and does not re-export these

from chain.errors import Refusal
from client.cli import (
    books,
    catalogue,
    checking,
    commitments,
    deployment,
    ethereum,
    keys,
    market,
    payments,
    purchases,
    services,
    uploads,
)
from client.cli.exits import Ended, Exit, choose_exit, report_error
from client.errors import ClientError

app = typer.Typer(
    name="tally",
    help="Instant token payments, committed to Ethereum: pay, keep receipts, and verify them without trusting anybody.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(keys.app, name="keys")
for module in (
    payments,
    books,
    market,
    uploads,
    purchases,
    catalogue,
    ethereum,
    commitments,
    checking,
    deployment,
    services,
):
    module.register(app)


def main() -> None:
    """Runs `tally` with the process's arguments, and ends the process with the code that says how it went."""
    sys.exit(run())


def run(arguments: list[str] | None = None) -> int:
    """The exit code. `arguments`: None for the process's own."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        outcome = app(given, standalone_mode=False)
    except Ended as ended:
        return ended.code
    except (typer.Abort, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
        return Exit.INTERRUPTED
    except UsageError as error:
        error.show()
        return Exit.USAGE
    except ClickException as error:
        error.show()
        return Exit.NO
    except (ClientError, Refusal) as error:
        report_error(error, is_json="--json" in given)
        return choose_exit(error)
    except OSError as error:
        report_error(ClientError(str(error)), is_json="--json" in given)
        return Exit.FAULT
    # Typer returns the code of its own early ends (--help, completion) here.
    return outcome if isinstance(outcome, int) else Exit.DONE
