"""Receipts and proofs against Ethereum, with no trust in any node.

From the payer's signature to the commitment's digest everything is recomputed from the receipt itself; only four facts
come from outside: which contract it is about (pinned by whoever verifies, or named by the receipt and shown), that
contract's operator, what it stores for the epoch, and how far finality has come. They are asked of an Ethereum
endpoint, or, with the hash of an L1 block, proven from that hash.

Proofs of an account's balance, of its roles, and of a file are likewise held against the commitment that they name.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, TypeAlias

import msgspec

from chain import wire
from chain.account import is_leaf_sound
from chain.block import INSTRUCTION, PAYMENT, encode_record_item, hash_header
from chain.commitment import Commitment, hash_commitment
from chain.errors import InvalidProof, Refusal
from chain.evidence import check_account_proof
from chain.hashing import keccak
from chain.instruction import check_structure as check_instruction_structure
from chain.instruction import compute_instruction_id
from chain.merkle import check_list_proof
from chain.params import Domain, compute_ledger_chain_id
from chain.payment import SignedPayment, check_structure, compute_payment_id
from chain.primitives import MAX_U64, Address, Hash, Signature
from chain.receipt import Inclusion, InstructionReceipt, Receipt, check_inclusion
from chain.registry import AccountEntry, RegistryEntry, check_registry_proof
from chain.signatures import check_signer
from client.errors import BadReply, WrongLedger
from client.market import CommittedEntry, decode_committed_entry
from client.protocol import (
    AnyHeldReceipt,
    CommittedAccount,
    HeldInstructionReceipt,
    HeldReceipt,
    decode_any_receipt,
    decode_committed_account,
    decode_domain,
)
from client.settlement import (
    COMMITTED_TOPIC,
    Ethereum,
    L1Block,
    SettlementReader,
    decode_committed,
    find_logs,
    is_stored,
    read_word,
)
from client.storage_proof import check_code, prove_contract
from contracts import load_artifact

AnyReceipt: TypeAlias = Receipt | InstructionReceipt


class Outcome(StrEnum):
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not part of this way of verifying; nothing rests on it."""


class Verdict(StrEnum):
    """What a receipt, or a proof, turned out to be."""

    FAILED = "failed"
    ACCEPTED = "accepted"
    """The operator's promise holds; nothing of it is on Ethereum yet."""
    COMMITTED = "committed"
    FINAL = "final"


class Step(msgspec.Struct, frozen=True):
    name: str
    outcome: Outcome
    detail: str


class Report(msgspec.Struct, frozen=True):
    verdict: Verdict
    steps: tuple[Step, ...]
    record_id: Hash | None
    """Of the payment or instruction; None for a proof."""
    settlement: Address | None
    """The contract that it was checked against."""
    is_pinned: bool
    """Whether the one who asked named that contract; else the receipt did, and it is theirs to recognise."""
    operator: Address | None
    epoch: int | None
    cut_at: int | None
    """Milliseconds: when the receipt's epoch was cut. A fact only if the verdict is committed or final."""
    l1_block: L1Block | None
    """As of which the contract was read."""


class ContractFacts(msgspec.Struct, frozen=True):
    """What a receipt is held against. Times and periods in seconds."""

    l1_block: L1Block
    l1_chain_id: int
    ledger_chain_id: int
    operator: Address
    challenge_period: int
    committed_epoch: int
    final_epoch: int
    stored_hash: Hash
    """Of the receipt's epoch; zero if it has none."""
    authority: str
    """On whose word, for people."""
    is_proven: bool


_LONGEST_SEARCH_S: Final = 30 * 86_400
"""From the cut of an epoch, for the time when its commitment was mined."""

_RANKS: Final = {"accepted": 0, "committed": 1, "final": 2}
_RANK_OF_VERDICT: Final = {Verdict.ACCEPTED: 0, Verdict.COMMITTED: 1, Verdict.FINAL: 2}


def is_proof(form: Any) -> bool:
    """Whether it is for `verify_proof`, and not for `verify_receipt`."""
    form = _unwrap(form)
    return isinstance(form, dict) and "siblings" in form and ("leaf" in form or "entry" in form)


def verify_receipt(
    form: Any, ethereum: Ethereum, settlement: Address | None = None, l1_block: Hash | None = None
) -> Report:
    """`form`: the JSON of `tally_getReceipt`, bare or within its JSON-RPC reply, or that of `tally_getPaymentProof`.

    `settlement` pins the contract; `l1_block` has everything proven from that block's hash. Every check is made and
    named, also after one has failed. Raises `Unreachable`, `BadReply` or `RpcError` when Ethereum cannot be asked.
    """
    checks = _Checks()
    held = checks.run("receipt", lambda: _decode(form))
    if held is None:
        return checks.report(Verdict.FAILED)
    stated = checks.run("domain", lambda: _read_domain(held))
    address = settlement or (stated.verifying_contract if stated else None)
    if address is None:
        return checks.report(Verdict.FAILED, held)
    inclusion = held.receipt.inclusion
    epoch = inclusion.commitment.epoch if inclusion else 0
    facts = checks.run("contract", lambda: _read_facts(ethereum, address, epoch, l1_block))
    if facts is None:
        return checks.report(Verdict.FAILED, held, address, settlement is not None)

    domain = Domain.of(facts.l1_chain_id, address)
    checks.run("ledger", lambda: _check_ledger(stated, domain, facts))
    _check_promise(checks, held, domain, facts.operator)
    verdict = Verdict.ACCEPTED
    if inclusion is not None:
        _check_commitment(checks, held, inclusion, domain, facts, ethereum)
        epoch, included_at = inclusion.commitment.epoch, inclusion.included_at
        verdict = checks.run("finality", lambda: _judge_finality(epoch, included_at, facts)) or Verdict.FAILED
    checks.run("status", lambda: _check_status(held, verdict, facts))
    return checks.report(verdict, held, address, settlement is not None, facts)


def verify_proof(form: Any, ethereum: Ethereum, settlement: Address, l1_block: Hash | None = None) -> Report:
    """`form`: the JSON of `tally_getAccountProof`, `tally_getFileProof` or `tally_getRolesProof`, bare or within its
    JSON-RPC reply. It names no contract: `settlement` says which one it is about. Otherwise like `verify_receipt`.
    """
    checks = _Checks()
    proof = checks.run("proof", lambda: _decode_proof(form))
    if proof is None:
        return checks.report(Verdict.FAILED, None, settlement, True)
    facts = checks.run("contract", lambda: _read_facts(ethereum, settlement, proof.epoch, l1_block))
    if facts is None:
        return checks.report(Verdict.FAILED, None, settlement, True)
    domain = Domain.of(facts.l1_chain_id, settlement)
    checks.run("ledger", lambda: _check_ledger(domain, domain, facts))
    commitment = proof.commitment
    if isinstance(proof, CommittedEntry):
        checks.run("registry path", lambda: _check_entry(proof))
    else:
        checks.run("leaf", lambda: _check_leaf(proof))
        checks.run("state path", lambda: _check_account(proof))
    digest = hash_commitment(commitment, domain)
    checks.run("seal", lambda: _check_seal(digest, proof.signature, facts))
    verdict = Verdict.ACCEPTED
    if proof.epoch > facts.committed_epoch:
        checks.skip("commitment", "it is not on Ethereum yet: so far the operator's word stands for it")
    else:
        found = checks.run("commitment", lambda: _find_inclusion(commitment, digest, facts))
        if found is not None:
            verdict = checks.run("finality", lambda: _judge_finality(commitment.epoch, found.at, facts))
    return checks.report(verdict, None, settlement, True, facts, commitment)


def ask_contract(ethereum: Ethereum, settlement: Address, epoch: int) -> ContractFacts:
    """On the endpoint's word. All is read as of one block."""
    reader = SettlementReader(ethereum, settlement)
    facts = reader.read_facts()
    block = ethereum.get_block("latest")
    if block is None:
        raise BadReply(f"{ethereum.name} has no latest block")
    head = reader.get_head(block.number)
    return ContractFacts(
        l1_block=block,
        l1_chain_id=facts.l1_chain_id,
        ledger_chain_id=facts.ledger_chain_id,
        operator=facts.operator,
        challenge_period=facts.challenge_period,
        committed_epoch=head.epoch,
        final_epoch=head.final_epoch,
        stored_hash=reader.get_commitment_hash(epoch, block.number),
        authority=f"as {ethereum.name} says",
        is_proven=False,
    )


def prove_facts(ethereum: Ethereum, settlement: Address, epoch: int, block_hash: Hash) -> ContractFacts:
    """On the word of nobody but the block hash: storage by proof, the code by its hash, immutables by running it.

    The code must be this release's, because its storage layout is what the slots are read by. Raises `InvalidProof`.
    """
    artifact = load_artifact("Settlement")
    head_slot, hashes_slot = artifact.get_slot("_head"), artifact.get_slot("commitmentHash")
    hash_slot = int.from_bytes(keccak(epoch.to_bytes(32, "big") + hashes_slot.to_bytes(32, "big")), "big")
    contract = prove_contract(ethereum, block_hash, settlement, [head_slot, hash_slot])
    check_code(contract.code, artifact)

    def take(name: str) -> bytes:
        return read_word(contract.call_view(f"{name}()"))

    head = _read_struct(contract.slots[head_slot], artifact.storage_layout, "_head")
    return ContractFacts(
        l1_block=contract.l1_block,
        l1_chain_id=ethereum.get_chain_id(),
        ledger_chain_id=int.from_bytes(take("ledgerChainId"), "big"),
        operator=take("operator")[12:],
        challenge_period=int.from_bytes(take("challengePeriod"), "big"),
        committed_epoch=head["epoch"],
        final_epoch=head["finalEpoch"],
        stored_hash=contract.slots[hash_slot].to_bytes(32, "big"),
        authority=f"proven from block {wire.encode_bytes(block_hash)}",
        is_proven=True,
    )


class _Included(msgspec.Struct, frozen=True):
    epoch: int
    at: int
    """Unix seconds."""


class _Checks:
    """The steps so far."""

    def __init__(self) -> None:
        self._steps: list[Step] = []

    def run(self, name: str, check: Callable[[], Any]) -> Any:
        """What `check` returns, noted as ok with its text; None, noted as failed, if it refuses."""
        try:
            result = check()
        except Refusal as refusal:
            self._steps.append(Step(name, Outcome.FAILED, str(refusal)))
            return None
        self._steps.append(Step(name, Outcome.OK, _describe(result)))
        return result

    def skip(self, name: str, why: str) -> None:
        self._steps.append(Step(name, Outcome.SKIPPED, why))

    def report(
        self,
        verdict: Verdict,
        held: AnyHeldReceipt | None = None,
        settlement: Address | None = None,
        is_pinned: bool = False,
        facts: ContractFacts | None = None,
        commitment: Commitment | None = None,
    ) -> Report:
        has_failed = any(step.outcome is Outcome.FAILED for step in self._steps)
        if held is not None and held.receipt.inclusion is not None:
            commitment = held.receipt.inclusion.commitment
        return Report(
            verdict=Verdict.FAILED if has_failed else verdict,
            steps=tuple(self._steps),
            record_id=held.id if held else None,
            settlement=settlement,
            is_pinned=is_pinned,
            operator=facts.operator if facts else None,
            epoch=commitment.epoch if commitment else None,
            cut_at=commitment.cut_at if commitment else None,
            l1_block=facts.l1_block if facts else None,
        )


# --- the steps, in order


def _unwrap(form: Any) -> Any:
    """What is within a JSON-RPC reply."""
    return form["result"] if isinstance(form, dict) and "jsonrpc" in form and "result" in form else form


def _decode(form: Any) -> AnyHeldReceipt:
    form = _unwrap(form)
    if isinstance(form, dict) and "receipt" in form and "id" not in form:
        form = form["receipt"]
    try:
        return decode_any_receipt(form)
    except BadReply as error:
        raise InvalidProof(str(error)) from error


def _decode_proof(form: Any) -> CommittedEntry | CommittedAccount:
    form = _unwrap(form)
    is_entry = isinstance(form, dict) and "entry" in form
    try:
        return decode_committed_entry(form) if is_entry else decode_committed_account(form)
    except BadReply as error:
        raise InvalidProof(str(error)) from error


def _read_domain(held: AnyHeldReceipt) -> Domain:
    try:
        return decode_domain(wire.get_field(held.form, "domain", "receipt"))
    except BadReply as error:
        raise InvalidProof(str(error)) from error


def _read_facts(ethereum: Ethereum, settlement: Address, epoch: int, l1_block: Hash | None) -> ContractFacts:
    try:
        if l1_block is None:
            return ask_contract(ethereum, settlement, epoch)
        return prove_facts(ethereum, settlement, epoch, l1_block)
    except WrongLedger as error:  # a contract that the receipt names and that is none: the receipt's fault
        raise InvalidProof(str(error)) from error


def _check_ledger(stated: Domain | None, domain: Domain, facts: ContractFacts) -> str:
    """The domain that the receipt names is the one that follows from Ethereum's chain id and the contract."""
    if facts.ledger_chain_id != domain.chain_id:
        raise InvalidProof(
            f"the contract was deployed as ledger {facts.ledger_chain_id}; on chain {facts.l1_chain_id} it would be "
            f"{compute_ledger_chain_id(facts.l1_chain_id, domain.verifying_contract)}"
        )
    if stated != domain:
        raise InvalidProof(
            f"the receipt is of ledger {stated.chain_id if stated else 'unknown'}, not of ledger {domain.chain_id} of "
            f"contract {wire.encode_address(domain.verifying_contract)} on chain {facts.l1_chain_id}"
        )
    return f"ledger {domain.chain_id}: chain {facts.l1_chain_id}, {wire.encode_address(domain.verifying_contract)}"


def _check_promise(checks: _Checks, held: AnyHeldReceipt, domain: Domain, operator: Address) -> None:
    """What the operator promised by accepting: `chain.receipt.check_receipt` or `check_instruction_receipt`, a step at
    a time."""
    receipt = held.receipt
    if isinstance(receipt, Receipt):
        checks.run("payment id", lambda: _check_id(receipt, domain))
        checks.run("payer signature", lambda: _check_signer(receipt, receipt.signed.payment.payer))
        checks.run("time", lambda: _check_expiry(receipt, receipt.signed.payment.valid_until))
    else:
        checks.run("instruction id", lambda: _check_id(receipt, domain))
        checks.run("account signature", lambda: _check_signer(receipt, receipt.signed.instruction.account))
        checks.run("time", lambda: _check_expiry(receipt, receipt.signed.instruction.valid_until))
    checks.run("block hash", lambda: _check_block_hash(held, domain))
    checks.run("record path", lambda: _check_record(receipt))
    checks.run("operator signature", lambda: _check_operator(receipt, domain, operator))


def _check_id(receipt: AnyReceipt, domain: Domain) -> str:
    signed = receipt.signed
    if isinstance(signed, SignedPayment):
        check_structure(signed.payment)
        computed = compute_payment_id(signed.payment, domain)
    else:
        check_instruction_structure(signed.instruction)
        computed = compute_instruction_id(signed.instruction, domain)
    if computed != signed.id:
        raise InvalidProof(f"its content gives id {wire.encode_bytes(computed)}")
    return wire.encode_bytes(computed)


def _check_signer(receipt: AnyReceipt, signer: Address) -> str:
    check_signer(receipt.signed.id, receipt.signed.signature, signer)
    return f"signed by {wire.encode_address(signer)}"


def _check_expiry(receipt: AnyReceipt, valid_until: int) -> str:
    header = receipt.header
    if valid_until and header.timestamp > valid_until * 1000:
        raise InvalidProof(f"valid until {valid_until} s, and the block is dated {header.timestamp} ms")
    return f"block {header.number} of {header.timestamp} ms"


def _check_block_hash(held: AnyHeldReceipt, domain: Domain) -> str:
    stated = wire.decode_hash(wire.get_field(held.form["block"], "hash", "block"), "block.hash")
    computed = hash_header(held.receipt.header, domain)
    if stated != computed:
        raise InvalidProof(f"the header gives {wire.encode_bytes(computed)}, not {wire.encode_bytes(stated)}")
    return wire.encode_bytes(computed)


def _check_record(receipt: AnyReceipt) -> str:
    header = receipt.header
    item = encode_record_item(PAYMENT if isinstance(receipt, Receipt) else INSTRUCTION, receipt.signed.id)
    check_list_proof(item, receipt.index, header.record_count, receipt.siblings, header.records_root)
    return f"record {receipt.index} of {header.record_count} in block {header.number}"


def _check_operator(receipt: AnyReceipt, domain: Domain, operator: Address) -> str:
    check_signer(hash_header(receipt.header, domain), receipt.header_signature, operator)
    return f"signed by {wire.encode_address(operator)}, the contract's operator"


def _check_commitment(
    checks: _Checks,
    held: AnyHeldReceipt,
    inclusion: Inclusion,
    domain: Domain,
    facts: ContractFacts,
    ethereum: Ethereum,
) -> None:
    checks.run("block path", lambda: _check_block_path(held, inclusion, domain))
    digest = hash_commitment(inclusion.commitment, domain)
    checks.run("commitment", lambda: _check_stored(inclusion, digest, facts))
    if facts.is_proven:
        checks.skip("transaction", "not part of the proof, which is of the contract's storage")
    else:
        checks.run("transaction", lambda: _check_l1_transaction(ethereum, inclusion, domain))


def _check_block_path(held: AnyHeldReceipt, inclusion: Inclusion, domain: Domain) -> str:
    commitment = inclusion.commitment
    stated = wire.decode_quantity(wire.get_field(held.form["commitment"], "epoch", "commitment"), "epoch", MAX_U64)
    if stated != commitment.epoch:
        raise InvalidProof(f"the receipt says epoch {stated}, the commitment in it is of epoch {commitment.epoch}")
    check_inclusion(held.receipt.header, inclusion, domain)
    return f"block {inclusion.index} of {commitment.block_count} in epoch {commitment.epoch}"


def _check_stored(inclusion: Inclusion, digest: Hash, facts: ContractFacts) -> str:
    epoch = inclusion.commitment.epoch
    if not 0 < epoch <= facts.committed_epoch:
        raise InvalidProof(f"as of L1 block {facts.l1_block.number} the contract has {facts.committed_epoch} epochs")
    if not is_stored(facts.stored_hash, digest, inclusion.included_at):
        raise InvalidProof(
            f"the contract stores {wire.encode_bytes(facts.stored_hash)} for epoch {epoch}, this commitment "
            f"(digest {wire.encode_bytes(digest)}, included at {inclusion.included_at}) gives another hash"
        )
    return f"the contract stores digest {wire.encode_bytes(digest)} for epoch {epoch}"


def _check_l1_transaction(ethereum: Ethereum, inclusion: Inclusion, domain: Domain) -> str:
    name = wire.encode_bytes(inclusion.l1_transaction)
    tx_receipt = ethereum.get_tx_receipt(inclusion.l1_transaction)
    if tx_receipt is None:
        raise InvalidProof(f"{ethereum.name} knows no transaction {name}")
    for log in find_logs(tx_receipt, domain.verifying_contract, COMMITTED_TOPIC):
        committed = decode_committed(log)
        if (committed.commitment, committed.included_at) == (inclusion.commitment, inclusion.included_at):
            return f"{name} in L1 block {committed.l1_block}"
    raise InvalidProof(f"transaction {name} did not bring this commitment")


def _check_leaf(proof: CommittedAccount) -> str:
    leaf = proof.proof.leaf
    if leaf.epoch > proof.epoch:
        raise InvalidProof(f"the leaf is of epoch {leaf.epoch}, the proof of epoch {proof.epoch}")
    if not is_leaf_sound(leaf):
        raise InvalidProof("the leaf contradicts itself")
    return f"{leaf.opening} + {leaf.credits} - {leaf.debits} = {leaf.closing} base units"


def _check_account(proof: CommittedAccount) -> str:
    _check_epoch(proof)
    check_account_proof(proof.proof, proof.commitment)
    return f"account {proof.proof.index} of its asset"


def _check_entry(proof: CommittedEntry) -> str:
    _check_epoch(proof)
    check_registry_proof(proof.proof, proof.commitment.extra_root)
    return f"entry {proof.proof.index} of {proof.proof.count}"


def _check_epoch(proof: CommittedEntry | CommittedAccount) -> None:
    if proof.epoch != proof.commitment.epoch:
        raise InvalidProof(f"the proof says epoch {proof.epoch}, its commitment is of epoch {proof.commitment.epoch}")


def _check_seal(digest: Hash, signature: Signature, facts: ContractFacts) -> str:
    check_signer(digest, signature, facts.operator)
    return f"signed by {wire.encode_address(facts.operator)}, the contract's operator"


def _find_inclusion(commitment: Commitment, digest: Hash, facts: ContractFacts) -> _Included:
    """When the contract took the commitment, which it hashed into what it stores, and a proof does not say. Whatever
    time fits, the contract holds exactly this digest. Raises `InvalidProof`."""
    first = -(-commitment.cut_at // 1000)
    for included_at in range(first, min(facts.l1_block.timestamp, first + _LONGEST_SEARCH_S) + 1):
        if is_stored(facts.stored_hash, digest, included_at):
            return _Included(commitment.epoch, included_at)
    raise InvalidProof(
        f"the contract stores {wire.encode_bytes(facts.stored_hash)} for epoch {commitment.epoch}, which is not this "
        f"commitment (digest {wire.encode_bytes(digest)}), at any time from its cut on"
    )


def _judge_finality(epoch: int, included_at: int, facts: ContractFacts) -> Verdict:
    is_final = epoch <= facts.final_epoch or facts.l1_block.timestamp > included_at + facts.challenge_period
    return Verdict.FINAL if is_final else Verdict.COMMITTED


def _check_status(held: AnyHeldReceipt, verdict: Verdict, facts: ContractFacts) -> str:
    """Whether the status that the node wrote agrees: it may lag behind, but not run ahead."""
    if (held.status == "accepted") != (held.receipt.inclusion is None):
        raise InvalidProof(f"the receipt says {held.status} and has {_describe_commitment(held)}")
    if held.status not in _RANKS:
        raise InvalidProof(f"the receipt says {held.status}: it is not in force")
    if facts.is_proven or verdict is Verdict.FAILED:
        return held.status
    if _RANKS[held.status] > _RANK_OF_VERDICT[verdict]:
        raise InvalidProof(f"the receipt says {held.status}, Ethereum says {verdict}")
    return held.status


def _describe_commitment(held: AnyHeldReceipt) -> str:
    return "no commitment" if held.receipt.inclusion is None else "a commitment"


def _describe(result: Any) -> str:
    if isinstance(result, HeldReceipt):
        return f"payment {wire.encode_bytes(result.id)}"
    if isinstance(result, HeldInstructionReceipt):
        return f"instruction {wire.encode_bytes(result.id)}"
    if isinstance(result, _Included):
        return f"the contract stores it for epoch {result.epoch}, included at {result.at}"
    if isinstance(result, CommittedAccount):
        owner, asset = wire.encode_address(result.proof.leaf.owner), wire.encode_address(result.proof.leaf.asset)
        return f"account {owner}, asset {asset}, epoch {result.epoch}"
    if isinstance(result, CommittedEntry):
        return f"{_name_entry(result.proof.entry)}, epoch {result.epoch}"
    if isinstance(result, Domain):
        return f"ledger {result.chain_id}, contract {wire.encode_address(result.verifying_contract)}"
    if isinstance(result, ContractFacts):
        return f"operator {wire.encode_address(result.operator)}, L1 block {result.l1_block.number}, {result.authority}"
    return str(result)


def _name_entry(entry: RegistryEntry) -> str:
    if isinstance(entry, AccountEntry):
        return f"account {wire.encode_address(entry.account)}"
    return f"file {wire.encode_bytes(entry.file.id)}"


def _read_struct(word: int, layout: dict[str, Any], label: str) -> dict[str, int]:
    """The members of a one-slot struct, by the compiler's storage layout."""
    kind = next(variable["type"] for variable in layout["storage"] if variable["label"] == label)
    values = {}
    for member in layout["types"][kind]["members"]:
        size = int(layout["types"][member["type"]]["numberOfBytes"])
        values[member["label"]] = word >> 8 * member["offset"] & (1 << 8 * size) - 1
    return values
