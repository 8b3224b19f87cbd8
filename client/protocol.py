"""The methods of the node, without any input or output: what to ask, and what the answer means. Those of the data
exchange are in `client.market`.

A `Call` is one method with its parameters and the decoder of its result. `client.node` carries calls; both its forms
share everything that is here. Decoders are strict about what they use and keep the JSON as it came where somebody else
will check it (receipts), or where it is only shown.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from chain import wire
from chain.block import Header, Record
from chain.commitment import Commitment
from chain.errors import Refusal
from chain.evidence import AccountProof, WithdrawalClaim
from chain.market import ROLE_BITS
from chain.merkle import SumNode
from chain.params import DOMAIN_NAME, DOMAIN_VERSION, Domain, Market, Parameters
from chain.payment import Payment
from chain.primitives import MAX_ASSETS, MAX_U32, MAX_U64, MAX_U128, MAX_U256, SHARES, Address, Hash, Signature
from chain.receipt import InstructionReceipt, Receipt
from chain.statement import Credit, Debit
from client.errors import BadReply

T = TypeVar("T")

RECEIPT_STATUSES: Final = ("accepted", "committed", "final", "void")
EPOCH_STATUSES: Final = ("sealed", "sent", "mined", "final")

_PUBLIC_KEY: Final = re.compile(r"0x0[23][0-9a-fA-F]{64}", re.ASCII)


class Call(msgspec.Struct, Generic[T], frozen=True):
    method: str
    params: tuple[Any, ...]
    decode: Callable[[Any], T]

    def read(self, result: Any) -> T:
        """The meaning of the result. Raises `BadReply` for what the interface does not allow."""
        try:
            return self.decode(result)
        except (Refusal, ValueError) as error:
            raise BadReply(f"{self.method} answers with something else than agreed: {error}") from error


# --- what answers are made of


class Asset(msgspec.Struct, frozen=True):
    address: Address
    symbol: str
    """As the token says; the beginning of its address if it does not, or if the node has not heard it yet."""
    decimals: int | None
    """None if they are not known: amounts are then in base units alone."""
    is_native: bool


class NodeInfo(msgspec.Struct, frozen=True):
    """What the node says of itself. Whether it is true is for `client.ledgers` and Ethereum to say."""

    name: str
    version: str
    domain: Domain
    parameters: Parameters
    operator: Address
    assets: tuple[Asset, ...]
    epoch: int
    """The open one."""
    escrow: bytes | None
    """33 bytes: the public key that file keys are sealed to; None if the node takes none."""
    form: dict[str, Any]
    """As it came, with the head block and the last commitment."""


class HeldReceipt(msgspec.Struct, frozen=True):
    """A receipt, and its JSON exactly as it came: that is what is kept, shown and verified."""

    receipt: Receipt
    status: str
    form: dict[str, Any]

    @property
    def id(self) -> Hash:
        return self.receipt.signed.id


class HeldInstructionReceipt(msgspec.Struct, frozen=True):
    """The same of an instruction."""

    receipt: InstructionReceipt
    status: str
    form: dict[str, Any]

    @property
    def id(self) -> Hash:
        return self.receipt.signed.id


AnyHeldReceipt: TypeAlias = HeldReceipt | HeldInstructionReceipt


class Account(msgspec.Struct, frozen=True):
    address: Address
    nonce_base: int
    next_nonce: int
    """One above the highest used one."""
    balances: dict[Address, int]
    form: dict[str, Any]
    roles: tuple[str, ...] = ()
    owner_under: Address | None = None
    """Whose owner it is, a validator."""


class SignedBlock(msgspec.Struct, frozen=True):
    header: Header
    signature: Signature
    stated_hash: Hash
    records: tuple[Record, ...]


class EpochCommitment(msgspec.Struct, frozen=True):
    """A signed commitment and how far it has come. What concerns Ethereum is None until it is mined."""

    epoch: int
    commitment: Commitment
    signature: Signature
    status: str
    l1_transaction: Hash | None
    l1_block: int | None
    included_at: int | None
    """Unix seconds."""
    form: dict[str, Any]


class PaymentProof(msgspec.Struct, frozen=True):
    receipt: HeldReceipt
    withdrawal: WithdrawalClaim | None
    asset_index: int | None
    """The place of the withdrawal's asset in the commitment."""
    form: dict[str, Any]


class CommittedAccount(msgspec.Struct, frozen=True):
    """An account's leaf with its path, and the commitment that it leads to."""

    epoch: int
    commitment: Commitment
    signature: Signature
    proof: AccountProof
    form: dict[str, Any]


class StatementEntry(msgspec.Struct, frozen=True):
    """One line of a statement, with its place in the ledger and the balance after it."""

    block: int
    record: int
    output: int
    """-1 for a debit: what a payment takes comes before what its outputs give, to the same account too."""
    entry: Debit | Credit
    balance: int


class StatementPage(msgspec.Struct, frozen=True):
    """Entries in the order of the ledger. The roots are None until the epoch is sealed."""

    asset: Address
    epoch: int
    opening: int
    closing: int
    entries: tuple[StatementEntry, ...]
    debits: SumNode | None
    credits: SumNode | None
    cursor: str | None
    form: dict[str, Any]


class PaymentsPage(msgspec.Struct, frozen=True):
    items: tuple[dict[str, Any], ...]
    """Receipts without siblings, in JSON, newest first."""
    cursor: str | None


# --- calls


def get_info() -> Call[NodeInfo]:
    return Call("tally_getInfo", (), decode_info)


def send_payment(payment: Payment, signature: Signature) -> Call[HeldReceipt]:
    return Call("tally_sendPayment", (wire.encode_payment(payment), wire.encode_bytes(signature)), decode_held_receipt)


def get_receipt(payment_id: Hash) -> Call[HeldReceipt]:
    return Call("tally_getReceipt", (wire.encode_bytes(payment_id),), decode_held_receipt)


def get_any_receipt(record_id: Hash) -> Call[AnyHeldReceipt]:
    """Of a payment or an instruction."""
    return Call("tally_getReceipt", (wire.encode_bytes(record_id),), decode_any_receipt)


def get_payment(payment_id: Hash) -> Call[dict[str, Any]]:
    return Call("tally_getPayment", (wire.encode_bytes(payment_id),), take_object)


def get_account(address: Address) -> Call[Account]:
    return Call("tally_getAccount", (wire.encode_address(address),), _decode_account)


def get_block(number: int | str | Hash) -> Call[SignedBlock]:
    """By number, by hash, or `latest`."""
    return Call("tally_getBlock", (encode_place(number),), _decode_block)


def get_commitment(epoch: int | str) -> Call[EpochCommitment]:
    """By number, or `latest` (sealed), or `final`."""
    return Call("tally_getCommitment", (encode_place(epoch),), decode_epoch_commitment)


def get_payment_proof(payment_id: Hash) -> Call[PaymentProof]:
    return Call("tally_getPaymentProof", (wire.encode_bytes(payment_id),), decode_payment_proof)


def get_account_proof(address: Address, asset: Address, epoch: int | str) -> Call[CommittedAccount]:
    params = (wire.encode_address(address), wire.encode_address(asset), encode_place(epoch))
    return Call("tally_getAccountProof", params, decode_committed_account)


def get_statement(address: Address, asset: Address, epoch: int | str, cursor: str | None = None) -> Call[StatementPage]:
    params: tuple[Any, ...] = (wire.encode_address(address), wire.encode_address(asset), encode_place(epoch))
    return Call("tally_getStatement", (*params, cursor) if cursor is not None else params, _decode_statement)


def list_payments(
    *,
    account: Address | None = None,
    direction: str | None = None,
    counterparty: Address | None = None,
    asset: Address | None = None,
    kind: str | None = None,
    reference: Hash | None = None,
    status: str | None = None,
    from_s: int | None = None,
    to_s: int | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Call[PaymentsPage]:
    """`direction`: `in` or `out`, as the account sees it; `counterparty`: whom it paid, or who paid it. `from_s` and
    `to_s` are Unix seconds."""
    query = {
        "account": None if account is None else wire.encode_address(account),
        "direction": direction,
        "counterparty": None if counterparty is None else wire.encode_address(counterparty),
        "asset": None if asset is None else wire.encode_address(asset),
        "kind": kind,
        "reference": None if reference is None else wire.encode_bytes(reference),
        "status": status,
        "from": None if from_s is None else hex(from_s),
        "to": None if to_s is None else hex(to_s),
        "cursor": cursor,
        "limit": None if limit is None else hex(limit),
    }
    given = {name: value for name, value in query.items() if value is not None}
    return Call("tally_listPayments", (given,), _decode_payments_page)


def quote(kind: str, details: Mapping[str, Any]) -> Call[Payment]:
    """The unsigned payment of that kind which the ledger will accept. Look at it before signing."""
    return Call("tally_quote", (kind, dict(details)), _decode_quote)


# --- decoders


def decode_info(form: Any) -> NodeInfo:
    """Raises `BadReply` also when the parts contradict each other: parameters, domain, settlement, chain ids."""
    parameters = decode_parameters(wire.get_field(form, "parameters", "info"))
    domain = decode_domain(wire.get_field(form, "domain", "info"))
    stated = Domain.of(
        wire.decode_quantity(wire.get_field(form, "l1ChainId", "info"), "l1ChainId", MAX_U64),
        wire.decode_address(wire.get_field(form, "settlement", "info"), "settlement"),
    )
    ledger_chain_id = wire.decode_quantity(wire.get_field(form, "ledgerChainId", "info"), "ledgerChainId", MAX_U64)
    if not parameters.domain == domain == stated or ledger_chain_id != domain.chain_id:
        raise BadReply("parameters, domain, settlement and chain ids of the node are not of one ledger")
    return NodeInfo(
        name=take_text(form, "name"),
        version=take_text(form, "version"),
        domain=domain,
        parameters=parameters,
        operator=wire.decode_address(wire.get_field(form, "operator", "info"), "operator"),
        assets=tuple([_decode_asset(asset) for asset in take_list(form, "assets")]),
        epoch=wire.decode_quantity(wire.get_field(form, "epoch", "info"), "epoch", MAX_U64),
        escrow=_decode_escrow(wire.get_field(form, "escrow", "info")),
        form=form,
    )


def decode_domain(form: Any) -> Domain:
    """An EIP-712 domain of ours. Raises `BadReply` for another name or version, and `MalformedRequest`."""
    name, version = wire.get_field(form, "name", "domain"), wire.get_field(form, "version", "domain")
    if (name, version) != (DOMAIN_NAME, DOMAIN_VERSION):
        raise BadReply(f"the domain is not {DOMAIN_NAME} {DOMAIN_VERSION}")
    return Domain(
        wire.decode_quantity(wire.get_field(form, "chainId", "domain"), "domain.chainId", MAX_U64),
        wire.decode_address(wire.get_field(form, "verifyingContract", "domain"), "domain.verifyingContract"),
    )


def decode_held_receipt(form: Any) -> HeldReceipt:
    """Raises `MalformedRequest`, `MalformedPayment` or `BadReply`; nothing is verified."""
    receipt = wire.decode_receipt(form)
    return HeldReceipt(receipt, _decode_status(form), form)


def decode_held_instruction_receipt(form: Any) -> HeldInstructionReceipt:
    """Raises `MalformedRequest`, `MalformedInstruction` or `BadReply`; nothing is verified."""
    receipt = wire.decode_instruction_receipt(form)
    return HeldInstructionReceipt(receipt, _decode_status(form), form)


def decode_any_receipt(form: Any) -> AnyHeldReceipt:
    """Of a payment or an instruction: the one that is in it. Raises as the two above."""
    is_instruction = isinstance(form, dict) and "instruction" in form and "payment" not in form
    return decode_held_instruction_receipt(form) if is_instruction else decode_held_receipt(form)


def _decode_status(form: Any) -> str:
    status = wire.get_field(form, "status", "receipt")
    if status not in RECEIPT_STATUSES:
        raise BadReply(f"receipt status {status!r} is not known")
    return str(status)


def decode_payment_proof(form: Any) -> PaymentProof:
    withdrawal = wire.get_field(form, "withdrawal", "proof")
    asset_index = wire.get_field(form, "assetIndex", "proof")
    return PaymentProof(
        receipt=decode_held_receipt(wire.get_field(form, "receipt", "proof")),
        withdrawal=None if withdrawal is None else wire.decode_withdrawal_claim(withdrawal),
        asset_index=None if asset_index is None else wire.decode_quantity(asset_index, "assetIndex", MAX_U64),
        form=form,
    )


def decode_payment_form(form: Any) -> Payment:
    """A payment from parsed JSON. Raises `MalformedPayment`."""
    return wire.decode_payment(msgspec.json.encode(form))


def _decode_quote(form: Any) -> Payment:
    payment = decode_payment_form(wire.get_field(form, "payment", "quote"))
    total = wire.decode_quantity(wire.get_field(form, "total", "quote"), "total", MAX_U256)
    if total != payment.total:
        raise BadReply(f"the quote says {total} in all, its payment moves {payment.total}")
    return payment


def decode_parameters(form: Any) -> Parameters:
    """The chain parameters as `Parameters.to_json` publishes them. Raises `BadReply` for any other JSON."""
    parameters = Parameters(
        l1_chain_id=wire.decode_quantity(wire.get_field(form, "l1ChainId", "parameters"), "l1ChainId", MAX_U64),
        settlement=wire.decode_address(wire.get_field(form, "settlement", "parameters"), "settlement"),
        native_asset=wire.decode_address(wire.get_field(form, "nativeAsset", "parameters"), "nativeAsset"),
        deployed_at=wire.decode_quantity(wire.get_field(form, "deployedAt", "parameters"), "deployedAt", MAX_U64),
        market=_decode_market(form),
    )
    # Block 1 commits to exactly this JSON; a parameter more or less is a protocol that this client does not know.
    if parameters.to_json() != form:
        raise BadReply("the chain parameters are not those of this version of the protocol")
    return parameters


def _decode_market(form: Any) -> Market:
    def take(name: str) -> int:
        return wire.decode_quantity(wire.get_field(form, name, "parameters"), name, SHARES)

    rates = wire.get_field(form, "storageRates", "parameters")
    if not isinstance(rates, dict) or len(rates) > MAX_ASSETS:
        raise BadReply(f"storageRates: not an object with at most {MAX_ASSETS} assets")
    market = Market(
        validator_share=take("validatorShare"),
        owner_share=take("ownerShare"),
        commission=take("commission"),
        storage_rates=tuple(
            sorted(
                [
                    (wire.decode_address(asset, "storageRates"), wire.decode_quantity(rate, "storageRates", MAX_U64))
                    for asset, rate in rates.items()
                ]
            )
        ),
    )
    try:
        market.check()
    except ValueError as error:
        raise BadReply(f"parameters: {error}") from error
    return market


def _decode_escrow(form: Any) -> bytes | None:
    if form is None:
        return None
    text = wire.get_field(form, "publicKey", "escrow")
    if not isinstance(text, str) or not _PUBLIC_KEY.fullmatch(text):
        raise BadReply("escrow.publicKey: a public key is 0x and 66 hex digits, the first of them 02 or 03")
    return bytes.fromhex(text[2:])


def _decode_asset(form: Any) -> Asset:
    """Symbol and decimals are optional in ERC-20, and not known to a node until Ethereum has answered it."""
    address = wire.decode_address(wire.get_field(form, "address", "asset"), "asset.address")
    symbol, decimals = wire.get_field(form, "symbol", "asset"), wire.get_field(form, "decimals", "asset")
    return Asset(
        address=address,
        symbol=wire.encode_address(address)[:8] + "…" if symbol is None else take_text(form, "symbol"),
        decimals=None if decimals is None else wire.decode_quantity(decimals, "asset.decimals", 255),
        is_native=wire.get_field(form, "native", "asset") is True,
    )


def _decode_account(form: Any) -> Account:
    return Account(
        address=wire.decode_address(wire.get_field(form, "address", "account"), "address"),
        nonce_base=wire.decode_quantity(wire.get_field(form, "nonceBase", "account"), "nonceBase", MAX_U64),
        next_nonce=wire.decode_quantity(wire.get_field(form, "nextNonce", "account"), "nextNonce", MAX_U64),
        balances={
            wire.decode_address(wire.get_field(line, "asset", "balance"), "asset"): wire.decode_quantity(
                wire.get_field(line, "balance", "balance"), "balance", MAX_U128
            )
            for line in take_list(form, "balances")
        },
        form=form,
        roles=tuple([decode_role(role) for role in take_list(form, "roles")]),
        owner_under=decode_optional_address(form, "ownerUnder"),
    )


def decode_role(value: Any) -> str:
    if not isinstance(value, str) or value not in ROLE_BITS:
        raise BadReply(f"a role is one of: {' '.join(ROLE_BITS)}")
    return value


def _decode_block(form: Any) -> SignedBlock:
    header_form = wire.get_field(form, "header", "block")
    header, signature = wire.decode_header(header_form)
    return SignedBlock(
        header=header,
        signature=signature,
        stated_hash=wire.decode_hash(wire.get_field(header_form, "hash", "block"), "block.hash"),
        records=tuple([wire.decode_record(record) for record in take_list(form, "records")]),
    )


def decode_epoch_commitment(form: Any) -> EpochCommitment:
    status = wire.get_field(form, "status", "commitment")
    if status not in EPOCH_STATUSES:
        raise BadReply(f"commitment status {status!r} is not known")
    commitment = wire.decode_commitment(wire.get_field(form, "message", "commitment"))
    l1_transaction = form.get("l1Transaction")
    return EpochCommitment(
        epoch=wire.decode_quantity(wire.get_field(form, "epoch", "commitment"), "epoch", MAX_U64),
        commitment=commitment,
        signature=wire.decode_signature(wire.get_field(form, "signature", "commitment"), "signature"),
        status=status,
        l1_transaction=None if l1_transaction is None else wire.decode_hash(l1_transaction, "l1Transaction"),
        l1_block=decode_optional(form, "l1Block"),
        included_at=decode_optional(form, "includedAt"),
        form=form,
    )


def decode_committed_account(form: Any) -> CommittedAccount:
    """Raises `MalformedRequest`; nothing is verified."""
    signed = wire.get_field(form, "commitment", "proof")
    return CommittedAccount(
        epoch=wire.decode_quantity(wire.get_field(form, "epoch", "proof"), "epoch", MAX_U64),
        commitment=wire.decode_commitment(wire.get_field(signed, "message", "commitment")),
        signature=wire.decode_signature(wire.get_field(signed, "signature", "commitment"), "signature"),
        proof=wire.decode_account_proof(form),
        form=form,
    )


def _decode_statement(form: Any) -> StatementPage:
    entries = [_decode_debit(entry) for entry in take_list(form, "debits")]
    entries += [_decode_credit(entry) for entry in take_list(form, "credits")]
    return StatementPage(
        asset=wire.decode_address(wire.get_field(form, "asset", "statement"), "asset"),
        epoch=wire.decode_quantity(wire.get_field(form, "epoch", "statement"), "epoch", MAX_U64),
        opening=wire.decode_quantity(wire.get_field(form, "opening", "statement"), "opening", MAX_U128),
        closing=wire.decode_quantity(wire.get_field(form, "closing", "statement"), "closing", MAX_U128),
        entries=tuple(sorted(entries, key=lambda line: (line.block, line.record, line.output))),
        debits=_decode_side(form, "debits"),
        credits=_decode_side(form, "credits"),
        cursor=take_cursor(form),
        form=form,
    )


def _decode_side(form: Any, name: str) -> SumNode | None:
    root = form.get(f"{name}Root")
    if root is None:
        return None
    total = wire.decode_quantity(wire.get_field(form, f"{name}Sum", "statement"), f"{name}Sum", MAX_U128)
    return wire.decode_hash(root, f"{name}Root"), total


def _decode_debit(form: Any) -> StatementEntry:
    entry = Debit(
        type=_take_number(form, "type", 255),
        number=_take_number(form, "number", MAX_U64),
        id=wire.decode_hash(wire.get_field(form, "id", "entry"), "entry.id"),
        amount=_take_number(form, "amount", MAX_U128),
    )
    place = _take_number(form, "block", MAX_U64), _take_number(form, "record", MAX_U32)
    return StatementEntry(*place, -1, entry, _take_number(form, "balance", MAX_U128))


def _decode_credit(form: Any) -> StatementEntry:
    entry = Credit(
        block=_take_number(form, "block", MAX_U64),
        record=_take_number(form, "record", MAX_U32),
        output=_take_number(form, "output", 255),
        type=_take_number(form, "type", 255),
        id=wire.decode_hash(wire.get_field(form, "id", "entry"), "entry.id"),
        amount=_take_number(form, "amount", MAX_U128),
    )
    balance = _take_number(form, "balance", MAX_U128)
    return StatementEntry(entry.block, entry.record, entry.output, entry, balance)


def _take_number(form: Any, name: str, limit: int) -> int:
    return wire.decode_quantity(wire.get_field(form, name, "entry"), f"entry.{name}", limit)


def _decode_payments_page(form: Any) -> PaymentsPage:
    items = take_list(form, "items")
    for item in items:
        take_object(item)
    return PaymentsPage(tuple(items), take_cursor(form))


def decode_optional(form: Any, name: str, limit: int = MAX_U64) -> int | None:
    value = form.get(name)
    return None if value is None else wire.decode_quantity(value, name, limit)


def decode_optional_address(form: Any, name: str) -> Address | None:
    value = wire.get_field(form, name, "reply")
    return None if value is None else wire.decode_address(value, name)


def encode_place(place: int | str | bytes) -> str:
    if isinstance(place, bytes):
        return wire.encode_bytes(place)
    return place if isinstance(place, str) else hex(place)


def take_text(form: Any, name: str) -> str:
    value = wire.get_field(form, name, "reply")
    if not isinstance(value, str):
        raise BadReply(f"{name} is not text")
    return value


def take_list(form: Any, name: str) -> list[Any]:
    value = wire.get_field(form, name, "reply")
    if not isinstance(value, list):
        raise BadReply(f"{name} is not a list")
    return value


def take_object(form: Any) -> dict[str, Any]:
    if not isinstance(form, dict):
        raise BadReply("not an object")
    return form


def take_cursor(form: Any) -> str | None:
    cursor = form.get("cursor")
    if cursor is not None and not isinstance(cursor, str):
        raise BadReply("the cursor is not text")
    return cursor
