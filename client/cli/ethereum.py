"""Between the ledger and Ethereum: `deposit` and `claim`."""

import time
from typing import Annotated, Final

import typer

from chain import wire
from chain.errors import Refusal
from chain.primitives import ETHER, Address, Hash
from client.cli import options, output
from client.cli.exits import Ended, Exit
from client.errors import Unreachable, WrongLedger
from client.ethereum import NotClaimable, Sender, SettlementUser, Token, TxReceipt
from client.keys import SigningKey
from client.ledgers import Ledger
from client.node import Node
from client.protocol import Asset, PaymentProof
from client.receipts import ReceiptStore
from client.settlement import Ethereum

_POLL_S: Final = 0.5
_FIRST_CLAIM_PAUSE_S: Final = 1.0

Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to wait at most.")]


def register(app: typer.Typer) -> None:
    app.command()(deposit)
    app.command()(claim)


def deposit(
    amount: Annotated[str, typer.Argument(help="In units of the asset, such as 1.5.")],
    asset_name: options.AssetName = None,
    account: Annotated[
        str | None, typer.Option("--for", help=r"Whose account on the ledger: an address or a key's name. \[your own]")
    ] = None,
    is_permit: Annotated[
        bool, typer.Option("--permit", help="One transaction instead of two, if the token knows EIP-2612.")
    ] = False,
    is_waiting: Annotated[bool, typer.Option("--wait/--no-wait", help="Until the ledger has credited it.")] = True,
    timeout_s: Timeout = 600.0,
    is_base_units: options.BaseUnits = False,
    node_url: options.NodeUrl = options.DEFAULT_NODE_URL,
    l1_url: options.L1Url = options.DEFAULT_L1_URL,
    settlement: options.Settlement = None,
    key: options.Key = None,
    private_key: options.PrivateKey = None,
    keys_dir: options.KeysDir = None,
    password_file: options.PasswordFile = None,
    is_json: options.Json = False,
) -> None:
    """Pay money from Ethereum into the ledger."""
    signer = options.load_key(key, private_key, keys_dir, password_file)
    payee = options.parse_recipient(account, keys_dir) if account is not None else signer.address
    with Node(node_url) as node:
        info, ledger = options.contact(node, l1_url, settlement)
        asset = options.choose_asset(asset_name, info.assets)
        units = options.read_amount(amount, asset, is_base_units=is_base_units)
        before = node.get_account(payee).balances.get(asset.address, 0)
        user = open_user(l1_url, signer, ledger)
        _check_decimals(user, asset)
        if is_permit and asset.address != ETHER:
            deposited, tx_receipt = user.deposit_with_permit(asset.address, units, payee)
        else:
            deposited, tx_receipt = user.deposit(asset.address, units, payee)
        is_credited = is_waiting and _wait_for_credit(node, payee, asset, before + deposited.amount, timeout_s)
    if is_json:
        output.print_json(
            {
                "asset": wire.encode_address(deposited.asset),
                "account": wire.encode_address(deposited.account),
                "amount": hex(deposited.amount),
                "index": hex(deposited.index),
                "l1Transaction": wire.encode_bytes(tx_receipt.l1_transaction),
                "l1Block": hex(tx_receipt.l1_block),
                "gasUsed": hex(tx_receipt.gas_used),
                "credited": is_credited,
            }
        )
    else:
        output.print_fields(
            [
                ("deposited", output.show_amount(deposited.amount, asset)),
                ("for", wire.encode_address(deposited.account)),
                ("l1 transaction", wire.encode_bytes(tx_receipt.l1_transaction)),
                ("gas", str(tx_receipt.gas_used)),
                ("on the ledger", "credited" if is_credited else "not seen yet"),
            ]
        )
    if is_waiting and not is_credited:
        raise Ended(Exit.NOT_YET)


def claim(
    payment_id: Annotated[
        str, typer.Argument(metavar="ID", help="The withdrawal's payment id, or a file with its receipt.")
    ],
    is_waiting: Annotated[
        bool, typer.Option("--wait", help="Until its epoch is committed and its challenge period is over.")
    ] = False,
    timeout_s: Timeout = 7200.0,
    node_url: options.NodeUrl = options.DEFAULT_NODE_URL,
    l1_url: options.L1Url = options.DEFAULT_L1_URL,
    settlement: options.Settlement = None,
    key: options.Key = None,
    private_key: options.PrivateKey = None,
    keys_dir: options.KeysDir = None,
    password_file: options.PasswordFile = None,
    is_json: options.Json = False,
) -> None:
    """Have a withdrawal paid on Ethereum. Without the node, too, once `tally receipt ID` has kept its proof."""
    wanted = options.parse_payment_id(payment_id)
    signer = options.load_key(key, private_key, keys_dir, password_file)
    deadline = time.monotonic() + timeout_s
    with Node(node_url, attempts=2) as node:
        while True:
            try:
                proof = _find_proof(node, l1_url, settlement, wanted)
                tx_receipt = _claim(proof, l1_url, settlement, signer)
                break
            except NotClaimable as error:
                if not is_waiting or not error.is_early or time.monotonic() >= deadline:
                    raise
                output.note(str(error))
                time.sleep(min(10.0, max(_FIRST_CLAIM_PAUSE_S, (error.ready_at or 0) - time.time())))
    payment = proof.receipt.receipt.signed.payment
    recipient = wire.encode_address(payment.outputs[0].to)
    if is_json:
        output.print_json(
            {
                "id": wire.encode_bytes(wanted),
                "recipient": recipient,
                "amount": hex(payment.total),
                "l1Transaction": wire.encode_bytes(tx_receipt.l1_transaction),
                "gasUsed": hex(tx_receipt.gas_used),
            }
        )
        return
    output.print_fields(
        [
            (
                "paid",
                f"{payment.total} base units of {wire.encode_address(payment.asset)}",
            ),
            ("to", recipient),
            ("l1 transaction", wire.encode_bytes(tx_receipt.l1_transaction)),
            ("gas", str(tx_receipt.gas_used)),
        ]
    )


def open_user(l1_url: str, signer: SigningKey, ledger: Ledger, *, timeout_s: float = 300.0) -> SettlementUser:
    """Raises `WrongLedger` if that endpoint serves another chain: no transaction is signed for it."""
    ethereum = Ethereum.at(l1_url)
    chain_id = ethereum.get_chain_id()
    if chain_id != ledger.l1_chain_id:
        raise WrongLedger(
            f"{ethereum.name} serves chain {chain_id}, the ledger's contract is on chain {ledger.l1_chain_id}"
        )
    return SettlementUser(Sender(ethereum, signer, timeout_s=timeout_s), ledger.settlement)


def _check_decimals(user: SettlementUser, asset: Asset) -> None:
    """The amount was read by what the node says of the token; before real money moves, the token is asked itself. An
    amount in base units of a token whose decimals nobody knows is what it says."""
    if asset.decimals is None:
        return
    decimals = 18 if asset.address == ETHER else Token(user.sender.ethereum, asset.address).get_decimals()
    if decimals != asset.decimals:
        raise WrongLedger(f"{asset.symbol} has {decimals} decimals, the node says {asset.decimals}")


def _wait_for_credit(node: Node, account: Address, asset: Asset, balance: int, timeout_s: float) -> bool:
    """Whether the account came to hold that much. If it paid in the meantime it is not seen, and not lost."""
    deadline = time.monotonic() + timeout_s
    while node.get_account(account).balances.get(asset.address, 0) < balance:
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _find_proof(node: Node, l1_url: str, settlement: str | None, payment_id: Hash) -> PaymentProof:
    """From the node, and kept; from disk when the node is gone or will not answer."""
    try:
        _, ledger = options.contact(node, l1_url, settlement)
        proof = node.get_payment_proof(payment_id)
        if proof.withdrawal is not None:
            ReceiptStore(ledger.domain.chain_id).save_proof(proof)
        return proof
    except (Unreachable, Refusal) as error:
        for store in ReceiptStore.get_all():
            kept = store.find_proof(payment_id)
            if kept is not None:
                output.note(f"the node: {error}; using the proof on disk")
                return kept
        raise


def _claim(proof: PaymentProof, l1_url: str, settlement: str | None, signer: SigningKey) -> TxReceipt:
    """From the contract that is pinned, else the one that the receipt names: from a wrong one it costs gas alone."""
    named = wire.decode_address(proof.receipt.form["domain"]["verifyingContract"], "domain.verifyingContract")
    address = named if settlement is None else options.parse_address(settlement, "--settlement")
    return SettlementUser(Sender(Ethereum.at(l1_url), signer), address).claim(proof)
