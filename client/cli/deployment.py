"""A contract of one's own on Ethereum: `deploy`, and `verify-source`, which checks its code and has it shown."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from chain import wire
from chain.primitives import ETHER, MAX_U64, Address
from client.amounts import format_amount
from client.cli import options, output
from client.cli.exits import BadUsage, Ended, Exit, NotYet, choose_exit
from client.cli.node_config import NodeSettings, encode_node_config
from client.cli.undertaking import Undertaking
from client.contract_code import CodeReport, check_code
from client.errors import ClientError, Unreachable
from client.files import write_durably
from client.keys import KeyProblem, Keystore
from client.settlement import Ethereum
from client.source_services import (
    ETHERSCAN_URL,
    SOURCIFY_URL,
    Etherscan,
    SourcePending,
    SourceRefused,
    Sourcify,
    make_submission,
)
from contracts import compute_commit_gas
from contracts.chains import find_chain

if TYPE_CHECKING:
    from node.ethereum.deploy import Call, Deployed, Quote, Sender, Signed

_GWEI: Final = 10**9
_COMMITMENTS_A_DAY: Final = 24

SourcifyUrl = Annotated[
    str, typer.Option("--sourcify-url", envvar="TALLY_SOURCIFY_URL", help="Of another server with the same interface.")
]
EtherscanUrl = Annotated[
    str,
    typer.Option("--etherscan-url", envvar="TALLY_ETHERSCAN_URL", help="Of another service with the same interface."),
]
_ETHERSCAN_KEY: Final = "ETHERSCAN_API_KEY"


class NotDeployed(ClientError):
    """No contract came of it; the message says why, and whether one still may."""


class InsufficientFunds(ClientError):
    """The account has less than the transaction may cost."""


class FeeCapTooLow(ClientError):
    """The chain asks for more per gas than may be offered."""


class ConfigExists(ClientError):
    """There is a file already where a node's configuration is to be written."""


def register(app: typer.Typer) -> None:
    app.command("deploy")(deploy)
    app.command("verify-source")(verify_source)


def deploy(
    operator: Annotated[
        str, typer.Option("--operator", help="Signs blocks and commitments: a key's name, or address.")
    ],
    cold_key: Annotated[str, typer.Option("--cold-key", help="Kept offline; ends the ledger, rotates keys.")],
    listing_key: Annotated[str, typer.Option("--listing-key", help="May list assets, and nothing else.")],
    asset: Annotated[
        list[str] | None, typer.Option("--asset", help=r"Address of a token, or `ether`; once for each. \[ether]")
    ] = None,
    native_asset: Annotated[str, typer.Option("--native-asset", help="One of the assets.")] = "ether",
    challenge_period_s: Annotated[int, typer.Option("--challenge-period", help="Seconds.")] = 7 * 86_400,
    answer_period_s: Annotated[int, typer.Option("--answer-period", help="Seconds.")] = 86_400,
    follow_up_s: Annotated[int, typer.Option("--follow-up", help="Seconds.")] = 86_400,
    min_interval_s: Annotated[int, typer.Option("--min-interval", help="Seconds between two cuts at least.")] = 1_800,
    max_silence_s: Annotated[int, typer.Option("--max-silence", help="Seconds until silence halts it.")] = 3 * 86_400,
    listing_delay_s: Annotated[int, typer.Option("--listing-delay", help="Seconds before an asset counts.")] = 86_400,
    max_fee_gwei: Annotated[
        int, typer.Option("--max-fee-gwei", min=1, help="Offer no more for a gas; goes into --out-config, too.")
    ] = 500,
    wait_s: Annotated[int, typer.Option("--wait", min=1, help="Seconds to wait for the contract.")] = 600,
    out_config: Annotated[Path | None, typer.Option("--out-config", help="Write a node's configuration here.")] = None,
    gas_key: Annotated[
        str | None, typer.Option("--gas-key", help="For --out-config: the key that will pay for commitments. [--key]")
    ] = None,
    escrow_key: Annotated[
        str | None, typer.Option("--escrow-key", help=r"For --out-config: the key that opens file keys. \[none]")
    ] = None,
    storage_rate: Annotated[
        list[str] | None,
        typer.Option(
            "--storage-rate",
            metavar="ASSET=UNITS",
            help="For --out-config: base units for keeping a GiB for a day; once for each asset.",
        ),
    ] = None,
    is_source_verified: Annotated[
        bool, typer.Option("--verify-source", help="Publish the contract's source afterwards.")
    ] = False,
    is_confirmed: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    sourcify_url: SourcifyUrl = SOURCIFY_URL,
    etherscan_url: EtherscanUrl = ETHERSCAN_URL,
    l1_url: options.L1Url = options.DEFAULT_L1_URL,
    key: options.Key = None,
    private_key: options.PrivateKey = None,
    keys_dir: options.KeysDir = None,
    password_file: options.PasswordFile = None,
    is_json: options.Json = False,
) -> None:
    """Put a Settlement contract on Ethereum. What it costs, now and by the hour, is shown, and asked about, first.

    Operator, cold and listing key must be three keys; --key (or --private-key, or TALLY_PRIVATE_KEY) pays. Interrupted
    after the transaction was signed, the same command goes on with that one: no second contract comes of it.
    """
    from node.ethereum.deploy import SettlementParameters, make_settlement_call

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
    # Before anything is spent: can the configuration be written that was asked for?
    names = {"operator": operator, "gas": gas_key or key, "escrow": escrow_key}
    keys = None if out_config is None else _find_node_keys(keystore, names, password_file)
    rates = _parse_rates(storage_rate or [], assets)
    signer = options.load_key(key, private_key, keys_dir, password_file)

    order = _Order(
        code=make_settlement_call(parameters, assets),
        asset_count=len(assets),
        max_fee=max_fee_gwei * _GWEI,
        wait_s=wait_s,
        out_config=out_config,
        is_confirmed=is_confirmed,
    )
    deployed, l1_chain_id, has_finalized = asyncio.run(_deploy(l1_url, signer.export_secret(), order))
    if out_config is not None and keys is not None:
        settings = NodeSettings(
            l1_url=l1_url,
            l1_chain_id=l1_chain_id,
            settlement=deployed.address,
            has_finalized=has_finalized,
            max_fee_gwei=max_fee_gwei,
            daily_budget_gwei=500_000_000,
            operator=keys["operator"],
            gas=keys["gas"],
            escrow=keys.get("escrow"),
            storage_rates=rates,
        )
        _write_config(out_config.absolute(), encode_node_config(settings, out_config.absolute().parent))
    _show_deployed(deployed, l1_chain_id, out_config, is_json=is_json)
    Undertaking(l1_chain_id, signer.address).end()
    if is_source_verified:
        ethereum = Ethereum.at(l1_url)
        try:
            _publish(ethereum, deployed.address, sourcify_url, etherscan_url, is_json=is_json)
        finally:
            ethereum.close()


def verify_source(
    settlement: options.Settlement = None,
    is_check_only: Annotated[
        bool, typer.Option("--check", help="Ask no service: compare the code on chain with this release's.")
    ] = False,
    sourcify_url: SourcifyUrl = SOURCIFY_URL,
    etherscan_url: EtherscanUrl = ETHERSCAN_URL,
    l1_url: options.L1Url = options.DEFAULT_L1_URL,
    is_json: options.Json = False,
) -> None:
    """Publish the source of a Settlement contract, so that explorers show it, and decode what it emits.

    The code at the address is compared with this release's first. Then the source goes to Sourcify, and to Etherscan if
    its API key is in ETHERSCAN_API_KEY. Publishing what is published already changes nothing.
    """
    if settlement is None:
        raise BadUsage("which contract? --settlement")
    address = options.parse_address(settlement, "--settlement")
    ethereum = Ethereum.at(l1_url)
    try:
        if is_check_only:
            report = check_code(ethereum, address)
            _show_report(report, is_json=is_json)
            if not report.is_ours:
                raise Ended(Exit.NO)
        else:
            _publish(ethereum, address, sourcify_url, etherscan_url, is_json=is_json)
    finally:
        ethereum.close()


# --- deploying


class _Order(msgspec.Struct, frozen=True):
    code: "Call"
    asset_count: int
    max_fee: int
    """Wei per gas."""
    wait_s: int
    out_config: Path | None
    is_confirmed: bool


async def _deploy(l1_url: str, secret: bytes, order: _Order) -> "tuple[Deployed, int, bool]":
    """The contract, its L1 chain, and whether that knows a finalised block."""
    from eth_account import Account

    from node.ethereum.deploy import Sender
    from node.ethereum.endpoint import Endpoint
    from node.ethereum.faults import EthereumFault, Reverted
    from node.ethereum.gateway import decode_quantity

    endpoint = Endpoint(l1_url)
    try:
        l1_chain_id = decode_quantity(await endpoint.call("eth_chainId", []))
        sender = Sender(
            endpoint,
            Account.from_key(secret),
            poll_interval_ms=1_000,
            timeout_ms=order.wait_s * 1000,
            max_fee=order.max_fee,
        )
        undertaking = Undertaking(l1_chain_id, sender.address)
        transactions = undertaking.find(order.code.data)
        if transactions:
            transactions = await _take_up(sender, undertaking, transactions, order)
        else:
            transactions = (await _begin(sender, undertaking, order),)
        deployed = await _wait(sender, transactions, order.code)
        return deployed, l1_chain_id, await _has_finalized(sender)
    except Reverted as error:
        raise NotDeployed(f"the contract refuses these parameters: {error}") from error
    except EthereumFault as error:
        raise Unreachable(str(error)) from error
    finally:
        await endpoint.close()


async def _begin(sender: "Sender", undertaking: Undertaking, order: _Order) -> "Signed":
    """Shows, asks, signs, and sends. Nothing is signed before all is accepted, nothing sent before it is on disk."""
    if order.out_config is not None and order.out_config.exists():
        raise ConfigExists(f"{order.out_config} is there already, of an earlier deployment: name another file")
    quote = await sender.quote(order.code)
    output.note_fields(describe_quote(quote, sender.address, order.asset_count))
    if quote.waiting_count:
        output.warn(f"{quote.waiting_count} transactions of this key are not mined yet; this one comes after them")
    check_quote(quote, sender.address)
    if not order.is_confirmed:
        typer.confirm("Deploy?", abort=True, err=True)
    signed = sender.sign(order.code, quote)
    undertaking.keep(order.code.data, (signed,))
    await _broadcast(sender, signed, is_known=False)
    return signed


async def _take_up(
    sender: "Sender", undertaking: Undertaking, transactions: "tuple[Signed, ...]", order: _Order
) -> "tuple[Signed, ...]":
    """Sends once more what an earlier run signed; or another one in its place, where more is asked for by now."""
    from node.ethereum.commit_decision import compute_bump

    last = transactions[-1]
    output.note(f"going on with {wire.encode_bytes(last.hash)}, which was signed before")
    if await sender.find_receipt(transactions) is not None:
        return transactions
    if await sender.get_nonce("latest") > last.nonce:
        raise NotDeployed(
            f"{await sender.explain_wait(last)}. Look at what the key has sent; "
            f"to deploy anew, delete {undertaking.path}"
        )
    base_fee, fees = await sender.suggest_fees()
    least = [compute_bump(fee) for fee in (last.fees.max_fee, last.fees.priority_fee)]
    is_too_little = fees.priority_fee >= least[1] or (base_fee or 0) > last.fees.max_fee
    if is_too_little and fees.max_fee >= max(base_fee or 0, least[0]):
        quote = await sender.quote(order.code)
        quote = msgspec.structs.replace(
            quote,
            nonce=last.nonce,
            waiting_count=0,
            fees=msgspec.structs.replace(fees, priority_fee=min(fees.max_fee, max(fees.priority_fee, least[1]))),
        )
        output.note(f"it offers {show_gwei(last.fees.max_fee)} for a gas, which is too little by now:")
        output.note_fields(describe_quote(quote, sender.address, order.asset_count))
        check_quote(quote, sender.address)
        if not order.is_confirmed:
            typer.confirm("Offer that in its place?", abort=True, err=True)
        last = sender.sign(order.code, quote)
        transactions = (*transactions, last)
        undertaking.keep(order.code.data, transactions)
    await _broadcast(sender, last, is_known=True)
    return transactions


async def _broadcast(sender: "Sender", signed: "Signed", *, is_known: bool) -> None:
    """From here on the transaction may be mined, whatever the endpoint says. `is_known`: it, or one that it replaces,
    was sent before, and may wait in somebody's pool."""
    from node.ethereum.l1 import SendOutcome

    output.note(f"sent {wire.encode_bytes(signed.hash)}")
    result = await sender.broadcast(signed)
    if result.outcome in (SendOutcome.ACCEPTED, SendOutcome.ALREADY_KNOWN, SendOutcome.NONCE_TOO_LOW):
        return
    if is_known:
        output.note(f"the endpoint does not take it: {result.message}")
    else:
        raise NotDeployed(
            f"the endpoint does not take the transaction: {result.message}. Run the same command once it would"
        )


async def _wait(sender: "Sender", transactions: "tuple[Signed, ...]", call: "Call") -> "Deployed":
    from node.ethereum.deploy import NotMined, compute_contract_address, describe_deployed

    contract = compute_contract_address(sender.address, transactions[0].nonce)
    output.note(f"the contract will be at {wire.encode_address(contract)}; waiting until it is")

    def report(seconds: int, problem: str) -> None:
        output.note(f"not mined after {seconds} s{f'; {problem}' if problem else ''}")

    try:
        receipt = await sender.wait(transactions, call, report)
    except NotMined as error:
        raise NotYet(
            f"{error}: {await sender.explain_wait(transactions[-1])}. Run the same command again to wait on, "
            "and to offer more (up to --max-fee-gwei) if more is asked for; no second contract comes of it"
        ) from error
    return await describe_deployed(sender, receipt)


async def _has_finalized(sender: "Sender") -> bool:
    from node.ethereum.faults import EthereumFault

    try:
        await sender.get_block("finalized")
    except EthereumFault:  # an error, null, or nothing that is a block: then there is none to go by
        return False
    return True


def check_quote(quote: "Quote", address: Address) -> None:
    """Raises `FeeCapTooLow` or `InsufficientFunds`."""
    if not quote.is_payable:
        raise FeeCapTooLow(
            f"the chain asks for {show_gwei(quote.base_fee or 0)} for a gas, and --max-fee-gwei allows "
            f"{show_gwei(quote.fees.max_fee)}: wait, or allow more"
        )
    missing = quote.most_cost - quote.balance
    if missing > 0:
        raise InsufficientFunds(
            f"{wire.encode_address(address)} has {output.show_ether(quote.balance)} on "
            f"{_show_chain(quote.l1_chain_id)}, and this may cost {output.show_ether(quote.most_cost)}: "
            f"send it {output.show_ether(missing)} more"
        )


def describe_quote(quote: "Quote", address: Address, asset_count: int) -> list[tuple[str, str]]:
    """What somebody wants to know before they spend it."""
    if quote.base_fee is None:
        fees = f"{show_gwei(quote.fees.max_fee)} (this chain has no base fee)"
    else:
        fees = (
            f"base fee {show_gwei(quote.base_fee)}; offered: {show_gwei(quote.fees.max_fee)} at most, "
            f"{show_gwei(quote.fees.priority_fee)} of it as priority fee"
        )
    commitment = compute_commit_gas(asset_count) * quote.gas_price
    day = commitment * _COMMITMENTS_A_DAY
    return [
        ("chain", _show_chain(quote.l1_chain_id)),
        ("account", wire.encode_address(address)),
        ("balance", output.show_ether(quote.balance)),
        ("gas", f"{quote.gas_estimate} estimated, {quote.gas_limit} at most"),
        ("fees", fees),
        ("costs", f"{output.show_ether(quote.gas_estimate * quote.gas_price)} at the fees of now"),
        ("at most", output.show_ether(quote.most_cost)),
        ("afterwards", f"a commitment an hour costs {output.show_ether(commitment)} at the fees of now:"),
        ("", f"{output.show_ether(day)} a day, {output.show_ether(30 * day)} in 30 days"),
    ]


def show_gwei(wei: int) -> str:
    """Of a fee per gas."""
    return f"{format_amount(wei, 9)} gwei"


def _show_chain(l1_chain_id: int) -> str:
    return f"{find_chain(l1_chain_id).name} ({l1_chain_id})"


def _show_deployed(deployed: "Deployed", l1_chain_id: int, out_config: Path | None, *, is_json: bool) -> None:
    if is_json:
        output.print_json(
            {
                "settlement": wire.encode_address(deployed.address),
                "l1ChainId": hex(l1_chain_id),
                "l1Transaction": wire.encode_bytes(deployed.l1_transaction),
                "l1Block": hex(deployed.l1_block),
                "gasUsed": hex(deployed.gas_used),
                "costWei": hex(deployed.cost),
                "config": None if out_config is None else str(out_config),
            }
        )
        return
    explorer_url = find_chain(l1_chain_id).explorer_url
    output.print_fields(
        [
            ("settlement", wire.encode_address(deployed.address)),
            ("l1 transaction", wire.encode_bytes(deployed.l1_transaction)),
            ("l1 block", str(deployed.l1_block)),
            ("gas", str(deployed.gas_used)),
            ("cost", output.show_ether(deployed.cost)),
        ]
    )
    if explorer_url is not None:
        output.note(f"to look at it: {explorer_url}/address/{wire.encode_address(deployed.address)}")
    if out_config is not None:
        output.note(f"then: tally node --config {out_config}")


# --- a node's configuration


def _parse_asset(name: str, option: str = "--asset") -> Address:
    return ETHER if name.lower() == "ether" else options.parse_address(name, option)


def _parse_rates(texts: Sequence[str], assets: Sequence[Address]) -> tuple[tuple[Address, int], ...]:
    rates: dict[Address, int] = {}
    for text in texts:
        name, _, units = text.partition("=")
        asset = _parse_asset(name, "--storage-rate")
        if not units.isascii() or not units.isdecimal() or len(units) > 20 or not 0 < int(units) <= MAX_U64:
            raise BadUsage(f"--storage-rate {text}: an asset, =, and base units above zero")
        if asset not in assets or asset in rates:
            raise BadUsage(f"--storage-rate {text}: once for an asset of the ledger")
        rates[asset] = int(units)
    return tuple(sorted(rates.items()))


def _find_node_keys(
    keystore: Keystore, names: dict[str, str | None], password_file: Path | None
) -> dict[str, tuple[Path, Path]]:
    """Role → (keystore, password file), of the roles that have a key. Raises `BadUsage` or `KeyProblem`."""
    if password_file is None or names["gas"] is None:
        raise BadUsage("--out-config needs the keystores' names (--operator, --gas-key or --key) and --password-file")
    try:
        found = {role: keystore.find(name) for role, name in names.items() if name is not None}
    except KeyProblem as error:
        raise KeyProblem(f"{error}; a node's configuration names its keystores") from error
    if len({stored.address for stored in found.values()}) != len(found):
        raise BadUsage(f"{', '.join(found)} must be {len(found)} keys")
    return {role: (stored.path.absolute(), password_file.absolute()) for role, stored in found.items()}


def _write_config(path: Path, text: str) -> None:
    """Raises `ConfigExists` for a file that says something else."""
    try:
        write_durably(path, text.encode(), is_new=True)
    except FileExistsError:
        if path.read_text(encoding="utf-8") != text:
            raise ConfigExists(
                f"{path} is there already, of another deployment: run the same command again, naming another file"
            ) from None


# --- the contract's source


def _publish(ethereum: Ethereum, settlement: Address, sourcify_url: str, etherscan_url: str, *, is_json: bool) -> None:
    """Checks first, as no service would find the source of anything else. Ends with `Exit.NO` if one says no."""
    report = check_code(ethereum, settlement)
    if not report.is_ours:
        _show_report(report, is_json=is_json)
        raise Ended(Exit.NO)
    submission = make_submission(report)
    services: list[Sourcify | Etherscan] = [Sourcify(sourcify_url)]
    etherscan_key = os.environ.get(_ETHERSCAN_KEY)
    if etherscan_key:
        services.append(Etherscan(etherscan_url, etherscan_key))
    else:
        output.note(f"Etherscan is left out: it wants an API key, in {_ETHERSCAN_KEY}")
    rows: list[dict[str, Any]] = []
    exits = {Exit.DONE}
    for service in services:
        try:
            published = service.publish(submission, output.note)
            rows.append({"service": service.name, "outcome": str(published.outcome), "url": published.url})
        except (SourceRefused, SourcePending, Unreachable) as error:
            rows.append({"service": service.name, "outcome": _name_failure(error), "problem": str(error)})
            exits.add(Exit.NOT_YET if isinstance(error, SourcePending) else choose_exit(error))
    if is_json:
        output.print_json({"settlement": wire.encode_address(settlement), "services": rows})
    else:
        output.print_fields([(row["service"], _show_outcome(row)) for row in rows])
    for code in (Exit.NO, Exit.FAULT, Exit.NOT_YET):
        if code in exits:
            raise Ended(code)


def _name_failure(error: ClientError) -> str:
    if isinstance(error, SourcePending):
        return "pending"
    return "unreachable" if isinstance(error, Unreachable) else "refused"


def _show_outcome(row: dict[str, Any]) -> str:
    words = {"published": "published", "already_published": "was published before"}
    return f"{words.get(row['outcome'], row['outcome'])}: {row.get('url') or row['problem']}"


def _show_report(report: CodeReport, *, is_json: bool) -> None:
    described = {
        "settlement": wire.encode_address(report.settlement),
        "l1ChainId": hex(report.l1_chain_id),
        "isOurs": report.is_ours,
        "problems": list(report.problems),
        "values": dict(report.values),
        "creation": None if report.l1_transaction is None else wire.encode_bytes(report.l1_transaction),
    }
    if is_json:
        output.print_json(described)
        return
    output.print_fields(
        [
            ("settlement", wire.encode_address(report.settlement)),
            ("chain", _show_chain(report.l1_chain_id)),
            *report.values,
            ("created by", "not found" if report.l1_transaction is None else wire.encode_bytes(report.l1_transaction)),
        ]
    )
    for problem in report.problems:
        output.print_line(f"FAILED: {problem}", "red")
    if report.is_ours:
        output.print_line("the code is this release's, and was created by its constructor", "green")
