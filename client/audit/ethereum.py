"""The contract's side of an audit: what it stores, emitted and queued, held against what the ledger says.

Questions are collected and asked in batches; each carries the check of its answer.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from eth_abi.abi import encode as encode_abi

from chain import wire
from chain.block import Deposit
from chain.commitment import AssetCommitment, Commitment, compute_stored_hash
from chain.params import Parameters
from chain.primitives import MAX_U64, Address, Hash
from client.audit.events import EpochSealed
from client.audit.findings import Findings
from client.errors import BadReply, RpcError
from client.settlement import (
    DEPOSITED_TOPIC,
    Committed,
    Facts,
    Head,
    SettlementReader,
    decode_deposited,
    decode_words,
    encode_u256_words,
    find_logs,
    read_data,
    read_hash,
    read_quantity,
    read_word,
)
from client.transport import Request

_MOST_QUESTIONS: Final = 200

Check = Callable[[Any], None]
"""Takes the `result` of the question's reply."""


class ContractAudit:
    """Make it before the ledger is read: everything that is on Ethereum now, an honest ledger has by then."""

    def __init__(self, reader: SettlementReader, findings: Findings) -> None:
        self._reader = reader
        self._findings = findings
        self.facts: Facts = reader.read_facts()
        self.head: Head = reader.get_head()
        self._assets = reader.get_assets()
        self._logs: Iterator[Committed] = reader.read_committed(1, self.facts.deployed_at)
        self._next_log: Committed | None = next(self._logs, None)
        self._questions: list[tuple[str, Request, Check]] = []
        self._withdrawn: dict[Address, int] = {}
        self.confirmed_epochs = 0
        self.confirmed_deposits = 0

    def check_parameters(self, parameters: Parameters, operator: Address) -> None:
        facts, add = self.facts, self._findings.add
        stated = {
            "L1 chain id": (parameters.l1_chain_id, facts.l1_chain_id),
            "settlement": (wire.encode_address(parameters.settlement), wire.encode_address(facts.settlement)),
            "native asset": (wire.encode_address(parameters.native_asset), wire.encode_address(facts.native_asset)),
            "time of deployment": (parameters.deployed_at, facts.deployed_at),
            "ledger chain id": (parameters.domain.chain_id, facts.ledger_chain_id),
            "operator": (wire.encode_address(operator), wire.encode_address(facts.operator)),
        }
        for name, (ours, theirs) in stated.items():
            if ours != theirs:
                add("parameters", f"{name}: the ledger says {ours}, the contract {theirs}")

    def check_asset(self, index: int, asset: Address) -> None:
        """The contract's list has this asset at this place."""
        if index >= len(self._assets):
            self._assets = self._reader.get_assets()  # one may have been listed since this audit began
        if index >= len(self._assets) or self._assets[index][0] != asset:
            self._findings.add(
                f"asset {wire.encode_address(asset)}", f"the contract does not list it, or not at place {index}"
            )

    def check_deposit(self, deposit: Deposit, where: str) -> None:
        """The contract queued this deposit at this place, and the L1 transaction named is the one that made it."""
        call = self._reader.encode_call(
            "depositAt(address,uint64)", encode_abi(["address", "uint64"], [deposit.asset, deposit.index])
        )
        self._ask(where, call, lambda result: self._compare_deposit(deposit, result, where))
        question: Request = ("eth_getTransactionReceipt", [wire.encode_bytes(deposit.l1_transaction)])
        self._ask(where, question, lambda result: self._compare_event(deposit, result, where))

    def check_sealed(self, sealed: EpochSealed, previous: Commitment, digest: Hash) -> None:
        """An epoch that Ethereum has is stored there as this very commitment, and its money is accounted for."""
        commitment = sealed.commitment
        where = f"epoch {commitment.epoch}"
        for index, line in enumerate(commitment.assets):
            if index >= len(self._assets) or self._assets[index][0] != line.asset:
                self._findings.add(where, f"line {index} is of an asset that the contract does not list there")
            self._check_conservation(previous, line, where)
            self._withdrawn[line.asset] = self._withdrawn.get(line.asset, 0) + line.withdrawn
        if commitment.epoch > self.head.epoch:
            if sealed.included_at is not None:
                # It was mined after this audit began, or it was not: asked for by itself.
                self._check_stored(commitment.epoch, digest, sealed.included_at, where)
            return
        committed = self._take_log(commitment.epoch)
        if committed is None:
            self._findings.add(where, "the contract has the epoch, but the endpoint gives no Committed log of it")
            return
        self._compare_log(sealed, committed, digest, where)
        self._check_stored(commitment.epoch, committed.digest, committed.included_at, where)

    def finish(self, last_sealed: int) -> None:
        """The questions that are left, and what only the end of the ledger can tell."""
        self._flush()
        if last_sealed < self.head.epoch:
            self._findings.add(
                f"epoch {last_sealed + 1}", f"the contract has {self.head.epoch} epochs, the ledger shows {last_sealed}"
            )
        elif last_sealed > self.head.epoch:
            self._findings.remark(
                f"epochs {self.head.epoch + 1} to {last_sealed} were sealed and not on Ethereum when this audit began"
            )
        for asset, _ in self._assets:
            self._check_held(asset)

    def _check_held(self, asset: Address) -> None:
        """What was paid out is at most what the commitments let go."""
        count = self._reader.get_deposit_count(asset)
        deposited = self._reader.get_deposits([(asset, count - 1)])[0].cumulative if count else 0
        claimed = deposited - self._reader.get_held(asset)
        withdrawn = self._withdrawn.get(asset, 0)
        if not 0 <= claimed <= withdrawn:
            self._findings.add(
                f"asset {wire.encode_address(asset)}",
                f"the contract paid out {claimed}, the commitments seen let go of {withdrawn}",
            )

    def _check_conservation(self, previous: Commitment, line: AssetCommitment, where: str) -> None:
        """total + withdrawn = the last total + what the contract queued in between."""
        before = next((other for other in previous.assets if other.asset == line.asset), None)
        counts = (before.deposit_count if before else 0, line.deposit_count)
        sums: dict[int, int] = {0: 0}

        def compare() -> None:
            received = sums[counts[1]] - sums[counts[0]]
            expected = (before.total if before else 0) + received
            if line.total + line.withdrawn != expected:
                self._findings.add(
                    where,
                    f"asset {wire.encode_address(line.asset)}: total {line.total} and withdrawn {line.withdrawn} do "
                    f"not add up to the last total and the deposits, {expected}",
                )

        def note(count: int, result: Any) -> None:
            data = read_data(result, "depositAt")
            _, _, cumulative, _ = decode_words(["address", "uint128", "uint128", "uint64"], data)
            sums[count] = cumulative
            if len(sums) == len({0, *counts}):
                compare()

        wanted = sorted({*counts} - {0})
        for count in wanted:
            arguments = encode_abi(["address", "uint64"], [line.asset, count - 1])
            question = self._reader.encode_call("depositAt(address,uint64)", arguments)
            self._ask(where, question, partial(note, count))
        if not wanted:
            compare()

    def _check_stored(self, epoch: int, digest: Hash, included_at: int, where: str) -> None:
        expected = compute_stored_hash(digest, included_at)

        def compare(result: Any) -> None:
            stored = read_word(read_data(result, "commitmentHash"))
            if stored == expected:
                self.confirmed_epochs += 1
            else:
                self._findings.add(
                    where,
                    f"the contract stores {wire.encode_bytes(stored)}; digest {wire.encode_bytes(digest)} included at "
                    f"{included_at} gives {wire.encode_bytes(expected)}",
                )

        self._ask(where, self._reader.encode_call("commitmentHash(uint64)", encode_u256_words(epoch)), compare)

    def _compare_log(self, sealed: EpochSealed, committed: Committed, digest: Hash, where: str) -> None:
        add = self._findings.add
        if committed.digest != digest:
            add(
                where,
                f"Ethereum has commitment {wire.encode_bytes(committed.digest)}, the ledger shows "
                f"{wire.encode_bytes(digest)}",
            )
        elif committed.commitment != sealed.commitment:
            add(where, "the commitment that the contract emitted is not the one of its digest")
        if committed.signature != sealed.signature:
            add(where, "the signature on Ethereum is another than the ledger shows")
        if sealed.l1_transaction is not None and sealed.l1_transaction != committed.l1_transaction:
            add(
                where,
                f"the node names transaction {wire.encode_bytes(sealed.l1_transaction)}, it is "
                f"{wire.encode_bytes(committed.l1_transaction)}",
            )
        if sealed.included_at is not None and sealed.included_at != committed.included_at:
            add(where, f"the node says included at {sealed.included_at}, the contract {committed.included_at}")

    def _compare_deposit(self, deposit: Deposit, result: Any, where: str) -> None:
        data = read_data(result, "depositAt")
        account, amount, _, _ = decode_words(["address", "uint128", "uint128", "uint64"], data)
        queued = bytes.fromhex(account[2:]), amount
        if queued == (deposit.account, deposit.amount):
            self.confirmed_deposits += 1
        else:
            self._findings.add(
                where,
                f"deposit {deposit.index} of {wire.encode_address(deposit.asset)} credits {deposit.amount} to "
                f"{wire.encode_address(deposit.account)}; the contract queued {amount} for {account}",
            )

    def _compare_event(self, deposit: Deposit, result: Any, where: str) -> None:
        name = wire.encode_bytes(deposit.l1_transaction)
        if not isinstance(result, dict):
            self._findings.add(where, f"Ethereum knows no transaction {name}, which the deposit names")
            return
        wanted = (deposit.asset, deposit.index, deposit.account, deposit.amount)
        for log in find_logs(result, self._reader.address, DEPOSITED_TOPIC):
            event = decode_deposited(log)
            if (event.asset, event.index, event.account, event.amount) == wanted:
                break
        else:
            self._findings.add(where, f"transaction {name} did not make this deposit")
            return
        place = read_quantity(result.get("blockNumber"), "blockNumber", MAX_U64)
        block_hash = read_hash(result.get("blockHash"), "blockHash")
        if (place, block_hash) != (deposit.l1_block, deposit.l1_block_hash):
            self._findings.add(
                where,
                f"the deposit was made in L1 block {place} {wire.encode_bytes(block_hash)}, the record says "
                f"{deposit.l1_block} {wire.encode_bytes(deposit.l1_block_hash)}",
            )

    def _take_log(self, epoch: int) -> Committed | None:
        """Logs and epochs both ascend, so they are walked side by side."""
        while self._next_log is not None and self._next_log.commitment.epoch < epoch:
            self._next_log = next(self._logs, None)
        if self._next_log is not None and self._next_log.commitment.epoch == epoch:
            return self._next_log
        return None

    def _ask(self, where: str, question: Request, check: Check) -> None:
        self._questions.append((where, question, check))
        if len(self._questions) >= _MOST_QUESTIONS:
            self._flush()

    def _flush(self) -> None:
        questions, self._questions = self._questions, []
        replies = self._reader.ethereum.ask_many([question for _, question, _ in questions])
        for (where, (method, _), check), reply in zip(questions, replies, strict=True):
            try:
                check(reply.unwrap())
            except (RpcError, BadReply) as error:
                self._findings.add(where, f"Ethereum does not answer {method} as it should: {error}")
