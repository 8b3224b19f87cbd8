"""`tally keys`: make, import, list, show and export wallet keys."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from chain import wire
from client.cli import options, output
from client.cli.exits import BadUsage
from client.keys import Keystore, SigningKey, StoredKey, generate_key, parse_private_key

app = typer.Typer(help="Wallet keys, kept as encrypted keystores.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="What to call the key.")]


@app.command("new")
def make_key(
    name: Name,
    keys_dir: options.KeysDir = None,
    password_file: options.PasswordFile = None,
    is_json: options.Json = False,
) -> None:
    """Make a new key from the system's randomness."""
    _store(name, generate_key(), keys_dir, password_file, is_json)


@app.command("import")
def import_key(
    name: Name,
    private_key_file: Annotated[
        Path | None, typer.Option("--private-key-file", help="File with the key in hex; `-` for standard input.")
    ] = None,
    private_key: options.PrivateKey = None,
    keys_dir: options.KeysDir = None,
    password_file: options.PasswordFile = None,
    is_json: options.Json = False,
) -> None:
    """Take a private key from a prompt, a file, or standard input."""
    key = parse_private_key(_read_private_key(private_key_file, private_key))
    _store(name, key, keys_dir, password_file, is_json)


@app.command("list")
def list_keys(keys_dir: options.KeysDir = None, is_json: options.Json = False) -> None:
    """List the keys and their addresses."""
    keys = Keystore(keys_dir).get_all()
    if is_json:
        output.print_json([_describe(key) for key in keys])
    elif keys:
        output.print_table(["name", "address"], [(key.name, wire.encode_address(key.address)) for key in keys])
    else:
        output.note("no keys yet: `tally keys new NAME`")


@app.command("show")
def show_key(name: Name, keys_dir: options.KeysDir = None, is_json: options.Json = False) -> None:
    """Show a key's address."""
    key = Keystore(keys_dir).find(name)
    if is_json:
        output.print_json(_describe(key))
    else:
        output.print_line(wire.encode_address(key.address))


@app.command("export")
def export_key(
    name: Name,
    keys_dir: options.KeysDir = None,
    password_file: options.PasswordFile = None,
    is_confirmed: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Print a private key in the clear, after asking."""
    if not is_confirmed:
        typer.confirm("Whoever sees a private key owns what it holds. Print it?", abort=True, err=True)
    keystore = Keystore(keys_dir)
    keystore.find(name)
    key = keystore.load(name, options.read_password(password_file, f"Password of key {name}"))
    output.print_line("0x" + key.export_secret().hex())


def _read_private_key(file: Path | None, private_key: str | None) -> str:
    if file is not None:
        try:
            return sys.stdin.readline() if str(file) == "-" else file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise BadUsage(f"{file}: {error}") from error
    if private_key is not None:
        return private_key
    if not sys.stdin.isatty():
        return sys.stdin.readline()
    return str(typer.prompt("Private key", hide_input=True, err=True))


def _store(name: str, key: SigningKey, keys_dir: Path | None, password_file: Path | None, is_json: bool) -> None:
    keystore = Keystore(keys_dir)
    keystore.check_name(name)  # before a password is asked for
    stored = keystore.add(name, key, options.read_password(password_file, f"Password for key {name}", is_new=True))
    if is_json:
        output.print_json(_describe(stored))
    else:
        output.print_fields([("address", wire.encode_address(stored.address)), ("keystore", str(stored.path))])


def _describe(key: StoredKey) -> dict[str, str]:
    return {"name": key.name, "address": wire.encode_address(key.address), "keystore": str(key.path)}
