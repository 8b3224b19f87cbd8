"""The JSON forms of the interface, for those who speak it: node, client, explorer. The rules never see JSON.

Going out, every integer is a `0x` hex quantity without leading zeros, bytes are `0x` hex, addresses carry their EIP-55
checksum. Coming in, an integer may be `0x` hex, a decimal string, or a JSON integer up to 2^53 − 1 (above, readers of
JSON disagree on its value); hex may be of any case.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from chain.account import AccountLeaf, NonceWindow
from chain.block import Deposit, Header, Record, hash_header
from chain.commitment import ASSET_COMMITMENT_TYPE, COMMITMENT_TYPE, AssetCommitment, Commitment
from chain.errors import MalformedInstruction, MalformedPayment, MalformedRequest
from chain.evidence import AccountProof, WithdrawalClaim
from chain.hashing import keccak
from chain.instruction import (
    INSTRUCTION_TYPES,
    INSTRUCTIONS,
    MEMBERS,
    UINT_SIZES,
    Instruction,
    SignedInstruction,
    get_type,
)
from chain.market import ROLE_BITS, File, Roles
from chain.merkle import SumNode
from chain.params import DOMAIN_NAME, DOMAIN_VERSION, Domain
from chain.payment import OUTPUT_TYPE, PAYMENT_TYPE, Output, Payment, SignedPayment
from chain.primitives import (
    MAX_ASSETS,
    MAX_U32,
    MAX_U64,
    MAX_U128,
    MAX_U256,
    ZERO_ADDRESS,
    Address,
    Hash,
    Signature,
)
from chain.receipt import Inclusion, InstructionReceipt, Receipt
from chain.registry import AccountEntry, FileEntry, RegistryEntry, RegistryProof
from chain.statement import Withdrawal

MAX_JSON_INTEGER: Final = 2**53 - 1
"""The largest integer that every reader of JSON takes for the same number (RFC 7493, section 2.2)."""

_MAX_BYTES: Final = 1024
_MAX_TEXTS: Final = 64
"""Far more than any instruction may hold: what is beyond is not even looked at."""

_QUANTITY: Final = re.compile(r"0[xX][0-9a-fA-F]{1,64}|[0-9]{1,78}", re.ASCII)


# --- values


def encode_quantity(value: int) -> str:
    return hex(value)


def encode_bytes(value: bytes) -> str:
    return "0x" + value.hex()


@lru_cache(maxsize=65_536)
def encode_address(address: Address) -> str:
    """With its checksum in the case of its letters (EIP-55)."""
    digits = address.hex()
    check = keccak(digits.encode()).hex()
    return "0x" + "".join(
        [digit.upper() if nibble >= "8" else digit for digit, nibble in zip(digits, check, strict=False)]
    )


def decode_quantity(value: object, what: str, limit: int) -> int:
    """Raises `MalformedRequest` for anything but an integer from 0 to `limit`, in one of the three forms."""
    if type(value) is int:
        if not 0 <= value <= MAX_JSON_INTEGER:
            raise MalformedRequest(f"{what}: as a JSON number, an integer is from 0 to 2^53 - 1; send hex or a string")
        number = value
    elif isinstance(value, str) and _QUANTITY.fullmatch(value):
        number = int(value, 16) if value[1:2] in ("x", "X") else int(value)
    else:
        raise MalformedRequest(f"{what}: neither 0x hex, nor a decimal string, nor a JSON integer")
    if number > limit:
        raise MalformedRequest(f"{what}: {number} is above {limit}")
    return number


def decode_address(value: object, what: str) -> Address:
    """Raises `MalformedRequest` for anything but `0x` and 40 hex digits. The checksum of mixed case is not demanded."""
    address = _decode_hex(value, 20)
    if address is None:
        raise MalformedRequest(f"{what}: an address is 0x and 40 hex digits")
    return address


def decode_hash(value: object, what: str) -> Hash:
    """Raises `MalformedRequest` for anything but `0x` and 64 hex digits."""
    digest = _decode_hex(value, 32)
    if digest is None:
        raise MalformedRequest(f"{what}: 32 bytes are 0x and 64 hex digits")
    return digest


def decode_signature(value: object, what: str) -> Signature:
    """Raises `MalformedRequest` for anything but `0x` and 130 hex digits."""
    signature = _decode_hex(value, 65)
    if signature is None:
        raise MalformedRequest(f"{what}: a signature is 0x and 130 hex digits, 65 bytes")
    return signature


def _decode_hex(value: object, size: int) -> bytes | None:
    """None for anything but `0x` and twice as many hex digits as bytes."""
    if not isinstance(value, str) or len(value) != 2 + 2 * size or value[:2] not in ("0x", "0X"):
        return None
    try:
        data = bytes.fromhex(value[2:])
    except ValueError:
        return None
    return data if len(data) == size else None  # `fromhex` passes over blanks


# --- payments


class _OutputForm(msgspec.Struct, forbid_unknown_fields=True):
    to: str
    amount: int | str


class _PaymentForm(msgspec.Struct, forbid_unknown_fields=True):
    asset: str
    payer: str = msgspec.field(name="from")
    nonce: int | str
    valid_until: int | str = msgspec.field(name="validUntil")
    kind: str
    reference: str
    memo: str
    outputs: list[_OutputForm]


class _SubmissionForm(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    payment: _PaymentForm
    signature: str


_payment_decoder: Final = msgspec.json.Decoder(_PaymentForm)
_submission_decoder: Final = msgspec.json.Decoder(_SubmissionForm)
_MALFORMED: Final = (msgspec.DecodeError, UnicodeError, MalformedRequest)
"""UnicodeError: bytes that are no UTF-8, or text with half a surrogate pair, which msgspec lets through as such."""


def decode_payment(data: bytes) -> Payment:
    """A payment from its JSON text. Raises `MalformedPayment`; structure beyond types and widths is not checked."""
    try:
        return _build_payment(_payment_decoder.decode(data))
    except _MALFORMED as error:
        raise MalformedPayment(str(error)) from error


def decode_submission(params: bytes) -> tuple[Payment, Signature]:
    """The parameters of `tally_sendPayment`, `[payment, signature]`, from their JSON text.

    Raises `MalformedPayment` for whatever is not that; structure beyond types and widths is not checked.
    """
    try:
        form = _submission_decoder.decode(params)
        return _build_payment(form.payment), decode_signature(form.signature, "signature")
    except _MALFORMED as error:
        raise MalformedPayment(str(error)) from error


def _convert_payment(form: Any) -> Payment:
    """A payment from JSON that was parsed already. Raises `MalformedPayment`."""
    try:
        return _build_payment(msgspec.convert(form, _PaymentForm))
    except _MALFORMED as error:
        raise MalformedPayment(str(error)) from error


def _build_payment(form: _PaymentForm) -> Payment:
    for text in (form.kind, form.memo):
        text.encode()  # raises UnicodeEncodeError for half a surrogate pair, which has no UTF-8 and so no id
    return Payment(
        asset=decode_address(form.asset, "asset"),
        payer=decode_address(form.payer, "from"),
        nonce=decode_quantity(form.nonce, "nonce", MAX_U64),
        valid_until=decode_quantity(form.valid_until, "validUntil", MAX_U64),
        kind=form.kind,
        reference=decode_hash(form.reference, "reference"),
        memo=form.memo,
        # Wider than an amount may be, so that one too large is refused by its own name.
        outputs=tuple(
            [
                Output(decode_address(output.to, "to"), decode_quantity(output.amount, "amount", MAX_U256))
                for output in form.outputs
            ]
        ),
    )


def encode_payment(payment: Payment) -> dict[str, Any]:
    return {
        "asset": encode_address(payment.asset),
        "from": encode_address(payment.payer),
        "nonce": hex(payment.nonce),
        "validUntil": hex(payment.valid_until),
        "kind": payment.kind,
        "reference": "0x" + payment.reference.hex(),
        "memo": payment.memo,
        "outputs": [{"to": encode_address(output.to), "amount": hex(output.amount)} for output in payment.outputs],
    }


# --- instructions

_instruction_decoder: Final = msgspec.json.Decoder(tuple[dict[str, str | int | list[str]], str])
"""No deeper than any instruction: a decoder of whatever comes would follow it down until the stack ends."""


def encode_instruction(instruction: Instruction) -> dict[str, Any]:
    """`{type, …}`: the name of its EIP-712 type, and the members of that."""
    name = get_type(instruction)
    form: dict[str, Any] = {"type": name}
    for kind, member, attribute in MEMBERS[name]:
        form[member] = _encode_member(kind, getattr(instruction, attribute))
    return form


def decode_instruction(form: Any) -> Instruction:
    """Inverse of `encode_instruction`. Raises `MalformedInstruction` for whatever is not that, a member more included;
    structure beyond types and widths is not checked."""
    name = form.get("type") if isinstance(form, dict) else None
    members = MEMBERS.get(name) if isinstance(name, str) else None
    if members is None or name is None:
        raise MalformedInstruction(f"an instruction is an object whose type is one of: {' '.join(MEMBERS)}")
    wanted = {"type", *[member for _, member, _ in members]}
    if set(form) != wanted:
        raise MalformedInstruction(f"a {name} has exactly these members: {' '.join(sorted(wanted))}")
    try:
        values = {attribute: _decode_member(kind, form[member], member) for kind, member, attribute in members}
    except (MalformedRequest, UnicodeError) as error:
        raise MalformedInstruction(str(error)) from error
    return INSTRUCTIONS[name](**values)


def decode_instruction_submission(params: bytes) -> tuple[Instruction, Signature]:
    """`[instruction, signature]` from its JSON text. Raises `MalformedInstruction` for whatever is not that."""
    try:
        form, signature = _instruction_decoder.decode(params)
        return decode_instruction(form), decode_signature(signature, "signature")
    except _MALFORMED as error:
        raise MalformedInstruction(str(error)) from error


def _encode_member(kind: str, value: Any) -> Any:
    if kind == "address":
        return encode_address(value)
    if kind in ("bytes32", "bytes"):
        return encode_bytes(value)
    if kind in UINT_SIZES:
        return hex(value)
    return list(value) if kind == "string[]" else value


def _decode_member(kind: str, value: Any, what: str) -> Any:
    if kind == "address":
        return decode_address(value, what)
    if kind == "bytes32":
        return decode_hash(value, what)
    if kind == "bytes":
        return _decode_bytes(value, what)
    if kind in UINT_SIZES:
        return decode_quantity(value, what, (1 << 8 * UINT_SIZES[kind]) - 1)
    if kind == "string":
        return _decode_text(value, what)
    if not isinstance(value, list) or len(value) > _MAX_TEXTS:
        raise MalformedRequest(f"{what}: not a list of at most {_MAX_TEXTS}")
    return tuple([_decode_text(text, what) for text in value])


def _decode_bytes(value: Any, what: str) -> bytes:
    size = (len(value) - 2) // 2 if isinstance(value, str) else 0
    data = _decode_hex(value, size) if 0 <= size <= _MAX_BYTES else None
    if data is None:
        raise MalformedRequest(f"{what}: not 0x and the hex digits of at most {_MAX_BYTES} bytes")
    return data


def _decode_text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise MalformedRequest(f"{what}: not text")
    value.encode()  # raises UnicodeEncodeError for half a surrogate pair, which has no UTF-8 and so no id
    return value


# --- blocks and receipts


def encode_domain(domain: Domain) -> dict[str, Any]:
    return {
        "name": DOMAIN_NAME,
        "version": DOMAIN_VERSION,
        "chainId": hex(domain.chain_id),
        "verifyingContract": encode_address(domain.verifying_contract),
    }


def encode_header(header: Header, block_hash: Hash, signature: Signature) -> dict[str, Any]:
    return {
        "number": hex(header.number),
        "previous": encode_bytes(header.previous),
        "timestamp": hex(header.timestamp),
        "recordsRoot": encode_bytes(header.records_root),
        "recordCount": hex(header.record_count),
        "hash": encode_bytes(block_hash),
        "signature": encode_bytes(signature),
    }


def encode_receipt(
    record: SignedPayment | SignedInstruction,
    status: str,
    domain: Any,
    content: Any,
    block: Any,
    index: int,
    siblings: Iterable[Hash],
    commitment: Any,
) -> dict[str, Any]:
    """`domain`, `content` (the payment or instruction), `block` and `commitment` in their JSON forms, or as
    `msgspec.Raw` where they recur."""
    return {
        "id": "0x" + record.id.hex(),
        "status": status,
        "domain": domain,
        "payment" if isinstance(record, SignedPayment) else "instruction": content,
        "signature": "0x" + record.signature.hex(),
        "block": block,
        "index": hex(index),
        "siblings": ["0x" + sibling.hex() for sibling in siblings],
        "commitment": commitment,
    }


def encode_inclusion(inclusion: Inclusion) -> dict[str, Any]:
    return {
        "epoch": hex(inclusion.commitment.epoch),
        "index": hex(inclusion.index),
        "siblings": [encode_bytes(sibling) for sibling in inclusion.siblings],
        "l1Transaction": encode_bytes(inclusion.l1_transaction),
        "includedAt": hex(inclusion.included_at),
        "message": encode_commitment(inclusion.commitment),
    }


def encode_deposit(deposit: Deposit) -> dict[str, Any]:
    return {
        "asset": encode_address(deposit.asset),
        "index": hex(deposit.index),
        "account": encode_address(deposit.account),
        "amount": hex(deposit.amount),
        "l1Block": hex(deposit.l1_block),
        "l1BlockHash": encode_bytes(deposit.l1_block_hash),
        "l1Transaction": encode_bytes(deposit.l1_transaction),
    }


def encode_record(record: Record) -> dict[str, Any]:
    """`{type: "payment", id, payment, signature}`, `{type: "instruction", id, instruction, signature}` or
    `{type: "deposit", id, deposit}`."""
    if isinstance(record, SignedInstruction):
        return {
            "type": "instruction",
            "id": encode_bytes(record.id),
            "instruction": encode_instruction(record.instruction),
            "signature": encode_bytes(record.signature),
        }
    if isinstance(record, SignedPayment):
        return {
            "type": "payment",
            "id": encode_bytes(record.id),
            "payment": encode_payment(record.payment),
            "signature": encode_bytes(record.signature),
        }
    return {"type": "deposit", "id": encode_bytes(record.id), "deposit": encode_deposit(record)}


def decode_record(form: Any) -> Record:
    """Inverse of `encode_record`; ids are taken as they stand. Raises `MalformedRequest`."""
    record_type = get_field(form, "type", "record")
    record_id = decode_hash(get_field(form, "id", "record"), "id")
    if record_type == "payment":
        payment = _convert_payment(get_field(form, "payment", "record"))
        return SignedPayment(record_id, payment, decode_signature(get_field(form, "signature", "record"), "signature"))
    if record_type == "instruction":
        instruction = decode_instruction(get_field(form, "instruction", "record"))
        return SignedInstruction(
            record_id, instruction, decode_signature(get_field(form, "signature", "record"), "signature")
        )
    if record_type != "deposit":
        raise MalformedRequest(f"record type {record_type!r} is not known")
    deposit = get_field(form, "deposit", "record")
    return Deposit(
        id=record_id,
        asset=decode_address(get_field(deposit, "asset", "deposit"), "asset"),
        index=decode_quantity(get_field(deposit, "index", "deposit"), "index", MAX_U64),
        account=decode_address(get_field(deposit, "account", "deposit"), "account"),
        amount=decode_quantity(get_field(deposit, "amount", "deposit"), "amount", MAX_U128),
        l1_block=decode_quantity(get_field(deposit, "l1Block", "deposit"), "l1Block", MAX_U64),
        l1_block_hash=decode_hash(get_field(deposit, "l1BlockHash", "deposit"), "l1BlockHash"),
        l1_transaction=decode_hash(get_field(deposit, "l1Transaction", "deposit"), "l1Transaction"),
    )


def decode_header(form: Any) -> tuple[Header, Signature]:
    """Raises `MalformedRequest`. The `hash` in it is not read: it follows from the rest."""
    header = Header(
        number=decode_quantity(get_field(form, "number", "block"), "block.number", MAX_U64),
        previous=decode_hash(get_field(form, "previous", "block"), "block.previous"),
        timestamp=decode_quantity(get_field(form, "timestamp", "block"), "block.timestamp", MAX_U64),
        records_root=decode_hash(get_field(form, "recordsRoot", "block"), "block.recordsRoot"),
        record_count=decode_quantity(get_field(form, "recordCount", "block"), "block.recordCount", MAX_U32),
    )
    return header, decode_signature(get_field(form, "signature", "block"), "block.signature")


def decode_receipt(form: Any) -> Receipt:
    """A payment's receipt from its JSON form. Raises `MalformedRequest` or `MalformedPayment`; nothing is verified."""
    signed = SignedPayment(
        payment=_convert_payment(get_field(form, "payment", "receipt")),
        id=decode_hash(get_field(form, "id", "receipt"), "id"),
        signature=decode_signature(get_field(form, "signature", "receipt"), "signature"),
    )
    return Receipt(signed, *_decode_place(form))


def decode_instruction_receipt(form: Any) -> InstructionReceipt:
    """An instruction's receipt from its JSON form. Raises `MalformedRequest` or `MalformedInstruction`; nothing is
    verified."""
    signed = SignedInstruction(
        instruction=decode_instruction(get_field(form, "instruction", "receipt")),
        id=decode_hash(get_field(form, "id", "receipt"), "id"),
        signature=decode_signature(get_field(form, "signature", "receipt"), "signature"),
    )
    return InstructionReceipt(signed, *_decode_place(form))


def _decode_place(form: Any) -> tuple[Header, Signature, int, tuple[Hash, ...], Inclusion | None]:
    header, signature = decode_header(get_field(form, "block", "receipt"))
    index = decode_quantity(get_field(form, "index", "receipt"), "index", MAX_U32)
    siblings = _decode_hashes(get_field(form, "siblings", "receipt"), "siblings")
    inclusion = get_field(form, "commitment", "receipt")
    return header, signature, index, siblings, None if inclusion is None else decode_inclusion(inclusion)


def decode_inclusion(form: Any) -> Inclusion:
    return Inclusion(
        commitment=decode_commitment(get_field(form, "message", "commitment")),
        index=decode_quantity(get_field(form, "index", "commitment"), "commitment.index", MAX_U64),
        siblings=_decode_hashes(get_field(form, "siblings", "commitment"), "commitment.siblings"),
        l1_transaction=decode_hash(get_field(form, "l1Transaction", "commitment"), "commitment.l1Transaction"),
        included_at=decode_quantity(get_field(form, "includedAt", "commitment"), "commitment.includedAt", MAX_U64),
    )


# --- commitments

_LINE_FIELDS: Final = (
    ("asset", "asset", 0),
    ("stateRoot", "state_root", 0),
    ("total", "total", MAX_U128),
    ("accountCount", "account_count", MAX_U64),
    ("depositCount", "deposit_count", MAX_U64),
    ("forcedCount", "forced_count", MAX_U64),
    ("withdrawalsRoot", "withdrawals_root", 0),
    ("withdrawalCount", "withdrawal_count", MAX_U64),
    ("withdrawn", "withdrawn", MAX_U128),
)
"""(JSON name, attribute, limit of an integer)"""


def encode_commitment(commitment: Commitment) -> dict[str, Any]:
    """Every field of the EIP-712 message."""
    return {
        "epoch": hex(commitment.epoch),
        "previous": encode_bytes(commitment.previous),
        "firstBlock": hex(commitment.first_block),
        "lastBlock": hex(commitment.last_block),
        "cutAt": hex(commitment.cut_at),
        "blocksRoot": encode_bytes(commitment.blocks_root),
        "extraRoot": encode_bytes(commitment.extra_root),
        "assets": [_encode_line(line) for line in commitment.assets],
    }


def decode_commitment(form: Any) -> Commitment:
    """Inverse of `encode_commitment`. Raises `MalformedRequest`."""
    lines = get_field(form, "assets", "message")
    if not isinstance(lines, list) or len(lines) > MAX_ASSETS:
        raise MalformedRequest(f"message.assets: not a list of at most {MAX_ASSETS} lines")
    return Commitment(
        epoch=decode_quantity(get_field(form, "epoch", "message"), "message.epoch", MAX_U64),
        previous=decode_hash(get_field(form, "previous", "message"), "message.previous"),
        first_block=decode_quantity(get_field(form, "firstBlock", "message"), "message.firstBlock", MAX_U64),
        last_block=decode_quantity(get_field(form, "lastBlock", "message"), "message.lastBlock", MAX_U64),
        cut_at=decode_quantity(get_field(form, "cutAt", "message"), "message.cutAt", MAX_U64),
        blocks_root=decode_hash(get_field(form, "blocksRoot", "message"), "message.blocksRoot"),
        extra_root=decode_hash(get_field(form, "extraRoot", "message"), "message.extraRoot"),
        assets=tuple([_decode_line(line) for line in lines]),
    )


def _encode_line(line: AssetCommitment) -> dict[str, Any]:
    form: dict[str, Any] = {}
    for name, attribute, limit in _LINE_FIELDS:
        value = getattr(line, attribute)
        form[name] = hex(value) if limit else encode_bytes(value)
    form["asset"] = encode_address(line.asset)
    return form


def _decode_line(form: Any) -> AssetCommitment:
    values: dict[str, Any] = {}
    for name, attribute, limit in _LINE_FIELDS:
        value = get_field(form, name, "message.assets")
        if limit:
            values[attribute] = decode_quantity(value, name, limit)
        else:
            values[attribute] = decode_address(value, name) if name == "asset" else decode_hash(value, name)
    return AssetCommitment(**values)


# --- proofs


def encode_sum_nodes(nodes: Iterable[SumNode]) -> list[dict[str, str]]:
    return [{"hash": encode_bytes(node_hash), "sum": hex(total)} for node_hash, total in nodes]


def decode_sum_nodes(form: Any, what: str) -> tuple[SumNode, ...]:
    if not isinstance(form, list) or len(form) > 64:
        raise MalformedRequest(f"{what}: not a list of at most 64 nodes")
    return tuple(
        [
            (
                decode_hash(get_field(node, "hash", what), what),
                decode_quantity(get_field(node, "sum", what), what, MAX_U128),
            )
            for node in form
        ]
    )


def encode_account_leaf(leaf: AccountLeaf) -> dict[str, Any]:
    return {
        "asset": encode_address(leaf.asset),
        "owner": encode_address(leaf.owner),
        "epoch": hex(leaf.epoch),
        "nonceBase": hex(leaf.nonces.base),
        "nonceMap": hex(leaf.nonces.used),
        "opening": hex(leaf.opening),
        "debits": hex(leaf.debits),
        "credits": hex(leaf.credits),
        "closing": hex(leaf.closing),
        "debitCount": hex(leaf.debit_count),
        "creditCount": hex(leaf.credit_count),
        "debitsRoot": encode_bytes(leaf.debits_root),
        "creditsRoot": encode_bytes(leaf.credits_root),
    }


def encode_account_proof(proof: AccountProof) -> dict[str, Any]:
    return {
        "leaf": encode_account_leaf(proof.leaf),
        "index": hex(proof.index),
        "siblings": encode_sum_nodes(proof.siblings),
    }


def decode_account_proof(form: Any) -> AccountProof:
    """Inverse of `encode_account_proof`; `closing` is not read, it follows. Raises `MalformedRequest`."""
    leaf = get_field(form, "leaf", "proof")

    def take(name: str, limit: int) -> int:
        return decode_quantity(get_field(leaf, name, "leaf"), f"leaf.{name}", limit)

    return AccountProof(
        leaf=AccountLeaf(
            asset=decode_address(get_field(leaf, "asset", "leaf"), "leaf.asset"),
            owner=decode_address(get_field(leaf, "owner", "leaf"), "leaf.owner"),
            epoch=take("epoch", MAX_U64),
            nonces=NonceWindow(take("nonceBase", MAX_U64), take("nonceMap", MAX_U256)),
            opening=take("opening", MAX_U128),
            debits=take("debits", MAX_U128),
            credits=take("credits", MAX_U128),
            debit_count=take("debitCount", MAX_U32),
            credit_count=take("creditCount", MAX_U32),
            debits_root=decode_hash(get_field(leaf, "debitsRoot", "leaf"), "leaf.debitsRoot"),
            credits_root=decode_hash(get_field(leaf, "creditsRoot", "leaf"), "leaf.creditsRoot"),
        ),
        index=decode_quantity(get_field(form, "index", "proof"), "index", MAX_U64),
        siblings=decode_sum_nodes(get_field(form, "siblings", "proof"), "siblings"),
    )


def encode_withdrawal_claim(claim: WithdrawalClaim) -> dict[str, Any]:
    return {
        "asset": encode_address(claim.asset),
        "index": hex(claim.index),
        "id": encode_bytes(claim.withdrawal.id),
        "recipient": encode_address(claim.withdrawal.recipient),
        "amount": hex(claim.withdrawal.amount),
        "siblings": encode_sum_nodes(claim.siblings),
    }


def decode_withdrawal_claim(form: Any) -> WithdrawalClaim:
    """Inverse of `encode_withdrawal_claim`. Raises `MalformedRequest`."""
    return WithdrawalClaim(
        asset=decode_address(get_field(form, "asset", "withdrawal"), "asset"),
        index=decode_quantity(get_field(form, "index", "withdrawal"), "index", MAX_U64),
        withdrawal=Withdrawal(
            id=decode_hash(get_field(form, "id", "withdrawal"), "id"),
            recipient=decode_address(get_field(form, "recipient", "withdrawal"), "recipient"),
            amount=decode_quantity(get_field(form, "amount", "withdrawal"), "amount", MAX_U128),
        ),
        siblings=decode_sum_nodes(get_field(form, "siblings", "withdrawal"), "siblings"),
    )


def encode_registry_entry(entry: RegistryEntry) -> dict[str, Any]:
    """`{account, roles, validator, namedOnly}` or `{file, validator, owner, …}`."""
    if isinstance(entry, AccountEntry):
        roles = entry.roles
        return {
            "account": encode_address(entry.account),
            "roles": roles.names,
            "validator": None if roles.validator == ZERO_ADDRESS else encode_address(roles.validator),
            "namedOnly": roles.is_named_only,
        }
    file = entry.file
    return {
        "file": encode_bytes(file.id),
        "validator": encode_address(file.validator),
        "owner": encode_address(file.owner),
        "asset": encode_address(file.asset),
        "price": hex(file.price),
        "size": hex(file.size),
        "storageDays": hex(file.storage_days),
        "keepUntil": hex(file.keep_until),
        "serviceNode": None if file.service_node == ZERO_ADDRESS else encode_address(file.service_node),
        "listing": encode_bytes(file.listing),
        "delisted": file.is_delisted,
    }


def decode_registry_entry(form: Any) -> RegistryEntry:
    """Inverse of `encode_registry_entry`. Raises `MalformedRequest`."""

    def take(name: str) -> Any:
        return get_field(form, name, "entry")

    def take_account(name: str) -> Address:
        value = take(name)
        return ZERO_ADDRESS if value is None else decode_address(value, name)

    if isinstance(form, dict) and ("account" in form) == ("file" in form):
        raise MalformedRequest("entry: it is of an account or of a file, and names one of them")
    if isinstance(form, dict) and "account" in form:
        roles = take("roles")
        if not isinstance(roles, list) or not all(isinstance(role, str) and role in ROLE_BITS for role in roles):
            raise MalformedRequest(f"entry.roles: a list of: {' '.join(ROLE_BITS)}")
        bits = sum([ROLE_BITS[role] for role in set(roles)])
        return AccountEntry(
            decode_address(take("account"), "account"),
            Roles(bits, take_account("validator"), _decode_bool(take("namedOnly"), "namedOnly")),
        )
    return FileEntry(
        File(
            id=decode_hash(take("file"), "file"),
            validator=decode_address(take("validator"), "validator"),
            owner=decode_address(take("owner"), "owner"),
            asset=decode_address(take("asset"), "asset"),
            price=decode_quantity(take("price"), "price", MAX_U128),
            size=decode_quantity(take("size"), "size", MAX_U64),
            storage_days=decode_quantity(take("storageDays"), "storageDays", MAX_U32),
            keep_until=decode_quantity(take("keepUntil"), "keepUntil", MAX_U64),
            service_node=take_account("serviceNode"),
            listing=decode_hash(take("listing"), "listing"),
            is_delisted=_decode_bool(take("delisted"), "delisted"),
        )
    )


def encode_registry_proof(proof: RegistryProof) -> dict[str, Any]:
    return {
        "entry": encode_registry_entry(proof.entry),
        "index": hex(proof.index),
        "count": hex(proof.count),
        "siblings": [encode_bytes(sibling) for sibling in proof.siblings],
    }


def decode_registry_proof(form: Any) -> RegistryProof:
    """Inverse of `encode_registry_proof`. Raises `MalformedRequest`."""
    return RegistryProof(
        entry=decode_registry_entry(get_field(form, "entry", "proof")),
        index=decode_quantity(get_field(form, "index", "proof"), "index", MAX_U64),
        count=decode_quantity(get_field(form, "count", "proof"), "count", MAX_U64),
        siblings=_decode_hashes(get_field(form, "siblings", "proof"), "siblings"),
    )


def _decode_bool(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise MalformedRequest(f"{what}: neither true nor false")
    return value


# --- EIP-712 types, as `tally_getInfo` publishes them


def describe_types(*type_strings: str) -> dict[str, list[dict[str, str]]]:
    """EIP-712 type strings as the JSON that signers take: {name: [{name, type}, …]}."""
    types = {}
    for type_string in type_strings:
        name, _, members = type_string.rstrip(")").partition("(")
        pairs = [member.split(" ") for member in members.split(",")]
        types[name] = [{"name": member, "type": kind} for kind, member in pairs]
    return types


PAYMENT_TYPES: Final = describe_types(PAYMENT_TYPE, OUTPUT_TYPE)
INSTRUCTION_EIP712_TYPES: Final = {name: describe_types(text) for name, text in INSTRUCTION_TYPES.items()}
"""One map per root type: some signers refuse a map with two."""
COMMITMENT_TYPES: Final = describe_types(COMMITMENT_TYPE, ASSET_COMMITMENT_TYPE)


def get_field(form: Any, name: str, what: str) -> Any:
    """Raises `MalformedRequest` unless `form` is an object that has `name`."""
    if not isinstance(form, dict) or name not in form:
        raise MalformedRequest(f"{what}: {name} is missing")
    return form[name]


def _decode_hashes(form: Any, what: str) -> tuple[Hash, ...]:
    if not isinstance(form, list) or len(form) > 64:
        raise MalformedRequest(f"{what}: not a list of at most 64 hashes")
    return tuple([decode_hash(item, what) for item in form])


def encode_block(header: Header, domain: Domain, signature: Signature, records: Sequence[Record]) -> dict[str, Any]:
    """What `tally_getBlock` answers."""
    return {
        "header": encode_header(header, hash_header(header, domain), signature),
        "signature": encode_bytes(signature),
        "records": [encode_record(record) for record in records],
    }
