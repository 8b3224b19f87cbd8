"""`tally_quote`: the unsigned payment that the ledger will accept, and what each party gets."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from chain import wire
from chain.errors import MalformedRequest, NotUploaded, UnknownReference, WrongPrice
from chain.instruction import ListFile
from chain.instruction import check_structure as check_instruction_structure
from chain.kinds import EXTEND, PURCHASE, TIP, TRANSFER, UPLOAD, WITHDRAW
from chain.market import SERVICE_NODE, File, compute_named_shares, compute_storage_charge
from chain.payment import Output, Payment, check_structure
from chain.primitives import MAX_STORAGE_DAYS, MAX_U64, MAX_U128, MAX_U256, ZERO_ADDRESS, ZERO_HASH, Address, Hash
from node.rpc.parameters import take_params

if TYPE_CHECKING:
    from node.rpc.methods import Methods

_COMMON: Final = {"from", "nonce", "validUntil", "memo"}
DETAILS: Final = {
    TRANSFER: _COMMON | {"asset", "to", "amount", "outputs", "reference"},
    TIP: _COMMON | {"asset", "to", "amount", "outputs", "reference"},
    WITHDRAW: _COMMON | {"asset", "to", "amount", "outputs", "reference"},
    UPLOAD: _COMMON | {"asset", "to", "reference", "listing"},
    PURCHASE: _COMMON | {"reference", "price"},
    EXTEND: _COMMON | {"asset", "reference", "days"},
}
"""Kind → the keys of its details."""


async def quote(methods: "Methods", params: bytes) -> dict[str, Any]:
    """[kind, details] → the unsigned payment that the ledger will accept, and what each party gets. Details are, beside
    `from` and optionally `nonce`, `validUntil` and `memo`:

    - transfer, tip, withdraw: `asset`, `to` and `amount` or `outputs`, optionally `reference`;
    - upload: `to` (the service node), optionally `asset`, and either `reference`, of a listed file, or `listing`, the
      whole `ListFile` that the payment will follow;
    - purchase: `reference`, optionally `price`, which the payer expects;
    - extend: `reference`, `days`, optionally `asset`.

    Raises what the ledger would refuse the payment with.
    """
    kind, details = take_params(params, "kind", "details")
    if not isinstance(kind, str) or not isinstance(details, dict):
        raise MalformedRequest("a kind, and an object with its details")
    known = DETAILS.get(kind, DETAILS[TRANSFER])  # a kind that is not known is refused as that below
    if not known.issuperset(details):
        raise MalformedRequest("the details are an object with keys out of: " + " ".join(sorted(known)))
    quote_kind = _QUOTES.get(kind, _quote_transfer)
    return quote_kind(methods, kind, details)


def _quote_transfer(methods: "Methods", kind: str, details: dict[str, Any]) -> dict[str, Any]:
    asset = wire.decode_address(wire.get_field(details, "asset", "details"), "asset")
    payment = _make_payment(methods, kind, details, asset, _take_outputs(details), _take_reference(details))
    methods.sequencer.check(payment)
    return _describe(payment, ["payee"] * len(payment.outputs))


def _quote_upload(methods: "Methods", kind: str, details: dict[str, Any]) -> dict[str, Any]:
    listing = details.get("listing")
    if (listing is None) == ("reference" not in details):
        raise MalformedRequest("either a listing, or the reference of a listed file")
    if listing is None:
        file = _find_file(methods, details)
        payment = _make_upload(methods, details, file.id, file.size, file.storage_days, file.asset)
        methods.sequencer.check(payment)
        return _describe(payment, [SERVICE_NODE])
    instruction = wire.decode_instruction(listing)
    if not isinstance(instruction, ListFile):
        raise MalformedRequest("listing: an instruction of type ListFile")
    check_instruction_structure(instruction)
    methods.escrow.check_listing(instruction)
    payment = _make_upload(
        methods,
        details,
        instruction.file,
        instruction.size,
        instruction.storage_days,
        instruction.asset,
        after=instruction,
    )
    methods.sequencer.check_upload(instruction, payment)
    return _describe(payment, [SERVICE_NODE])


def _quote_purchase(methods: "Methods", kind: str, details: dict[str, Any]) -> dict[str, Any]:
    file = _find_file(methods, details)
    price = details.get("price")
    if price is not None and (expected := wire.decode_quantity(price, "price", MAX_U128)) != file.price:
        raise WrongPrice(file.price, expected)
    shares = compute_named_shares(file, methods.sequencer.state.parameters.market)
    outputs = tuple([Output(to, amount) for _, to, amount in shares])
    payment = _make_payment(methods, kind, details, file.asset, outputs, file.id)
    methods.sequencer.check(payment)
    return _describe(payment, [role for role, _, _ in shares])


def _quote_extend(methods: "Methods", kind: str, details: dict[str, Any]) -> dict[str, Any]:
    file = _find_file(methods, details)
    if file.service_node == ZERO_ADDRESS:  # whom no payment of sound structure could pay
        raise NotUploaded(file.id)
    asset = _take_asset(details, file.asset)
    days = wire.decode_quantity(wire.get_field(details, "days", "details"), "days", MAX_STORAGE_DAYS)
    charge = compute_storage_charge(file.size, days, asset, methods.sequencer.state.parameters.market)
    payment = _make_payment(methods, kind, details, asset, (Output(file.service_node, charge),), file.id)
    methods.sequencer.check(payment)
    return _describe(payment, [SERVICE_NODE])


_QUOTES: Final[dict[str, Callable[["Methods", str, dict[str, Any]], dict[str, Any]]]] = {
    UPLOAD: _quote_upload,
    PURCHASE: _quote_purchase,
    EXTEND: _quote_extend,
}


def _make_upload(
    methods: "Methods",
    details: dict[str, Any],
    file: Hash,
    size: int,
    days: int,
    listed_in: Address,
    after: ListFile | None = None,
) -> Payment:
    asset = _take_asset(details, listed_in)
    to = wire.decode_address(wire.get_field(details, "to", "details"), "to")
    charge = compute_storage_charge(size, days, asset, methods.sequencer.state.parameters.market)
    return _make_payment(methods, UPLOAD, details, asset, (Output(to, charge),), file, after)


def _make_payment(
    methods: "Methods",
    kind: str,
    details: dict[str, Any],
    asset: Address,
    outputs: tuple[Output, ...],
    reference: Hash,
    after: ListFile | None = None,
) -> Payment:
    """Of sound structure. `after`: the listing that comes before it and uses a nonce of the same window."""
    payer = wire.decode_address(wire.get_field(details, "from", "details"), "from")
    memo = details.get("memo", "")
    if not isinstance(memo, str):
        raise MalformedRequest("memo: not text")
    payment = Payment(
        asset=asset,
        payer=payer,
        nonce=_take_nonce(methods, details, payer, after),
        valid_until=wire.decode_quantity(details.get("validUntil", 0), "validUntil", MAX_U64),
        kind=kind,
        reference=reference,
        memo=memo,
        outputs=outputs,
    )
    check_structure(payment)
    return payment


def _describe(payment: Payment, roles: list[str]) -> dict[str, Any]:
    """`roles`: of the outputs."""
    return {
        "payment": wire.encode_payment(payment),
        "total": hex(payment.total),
        "parties": [
            {"address": wire.encode_address(payment.payer), "role": "payer", "change": f"-{hex(payment.total)}"},
            *[
                {"address": wire.encode_address(output.to), "role": role, "change": hex(output.amount)}
                for output, role in zip(payment.outputs, roles, strict=True)
            ],
        ],
    }


def _find_file(methods: "Methods", details: dict[str, Any]) -> File:
    reference = wire.decode_hash(wire.get_field(details, "reference", "details"), "reference")
    file = methods.sequencer.state.files.get(reference)
    if file is None:
        raise UnknownReference(reference)
    return file


def _take_reference(details: dict[str, Any]) -> Hash:
    return wire.decode_hash(details["reference"], "reference") if "reference" in details else ZERO_HASH


def _take_asset(details: dict[str, Any], default: Address) -> Address:
    return wire.decode_address(details["asset"], "asset") if "asset" in details else default


def _take_nonce(methods: "Methods", details: dict[str, Any], payer: Address, after: ListFile | None) -> int:
    if "nonce" in details:
        return wire.decode_quantity(details["nonce"], "nonce", MAX_U64)
    window = methods.sequencer.get_nonces(payer)
    if after is not None and after.account == payer and window.base <= after.nonce < window.limit:
        window = window if window.is_used(after.nonce) else window.use(after.nonce)
    # Above all used ones: what is signed and not sent yet may have one below. The first free one, if there is no other.
    return window.next_nonce if window.next_nonce < window.limit else window.base


def _take_outputs(details: dict[str, Any]) -> tuple[Output, ...]:
    """From `outputs`, or from `to` and `amount` for a single one."""
    outputs = details.get("outputs")
    if outputs is None:
        outputs = [{name: wire.get_field(details, name, "details") for name in ("to", "amount")}]
    elif "to" in details or "amount" in details:
        raise MalformedRequest("either outputs, or to and amount")
    if not isinstance(outputs, list):
        raise MalformedRequest("outputs: not a list")
    return tuple(
        [
            Output(
                wire.decode_address(wire.get_field(output, "to", "outputs"), "to"),
                wire.decode_quantity(wire.get_field(output, "amount", "outputs"), "amount", MAX_U256),
            )
            for output in outputs
        ]
    )
