"""The one true Ethereum of a simulated world: blocks, fees, a pool, reorganisations. Times are Unix seconds.

What a block holds is never changed, so an endpoint that is behind simply shows an older block.
"""

import bisect
import random
from collections.abc import Callable, Sequence

import msgspec

from chain.hashing import keccak
from chain.primitives import Hash
from tests.simulation.settlement import (
    Call,
    Commit,
    Log,
    Refused,
    State,
    Terms,
    apply_call,
    compute_commit_gas,
    decode_commit,
)

GWEI = 10**9
SLOT = 12
"""Seconds between two blocks."""
FINAL_DEPTH = 64
"""No reorganisation reaches a block that has so many above it. What is called finalized has at least as many."""
INTRINSIC_GAS = 21_000
BLOCK_GAS = 30_000_000


class Transaction(msgspec.Struct, frozen=True):
    hash: Hash
    call: Call | None
    """None: of no concern to the contract."""
    nonce: int | None = None
    """Of our account; None: another account sent it, whose nonce and money are no concern of ours."""
    gas_limit: int = 200_000
    max_fee: int = 0
    priority_fee: int = 0
    gas: int = INTRINSIC_GAS
    """What it takes, if the contract takes it."""
    is_ours: bool = False
    """Whether our node made it; others may have the key, too."""

    @property
    def epoch(self) -> int | None:
        return self.call.next.epoch if isinstance(self.call, Commit) else None


class Receipt(msgspec.Struct, frozen=True):
    transaction: Transaction
    is_success: bool
    gas_used: int
    price: int
    """Wei per gas."""
    problem: str
    logs: tuple[Log, ...]

    @property
    def cost(self) -> int:
        return self.gas_used * self.price


class Block(msgspec.Struct, frozen=True):
    number: int
    hash: Hash
    parent: Hash
    timestamp: int
    base_fee: int
    state: State
    receipts: tuple[Receipt, ...] = ()


class Branch:
    """Blocks from the first one on, and where to find what is in them."""

    def __init__(self, blocks: list[Block]) -> None:
        self.blocks = blocks
        self.busy = [block.number for block in blocks if block.receipts]
        """Numbers of the blocks with anything in them, ascending."""
        self.places = {receipt.transaction.hash: number for number in self.busy for receipt in blocks[number].receipts}
        """Transaction → number of its block."""

    def push(self, block: Block) -> None:
        self.blocks.append(block)
        if block.receipts:
            self.busy.append(block.number)
            for receipt in block.receipts:
                self.places[receipt.transaction.hash] = block.number

    def pop(self) -> Block:
        block = self.blocks.pop()
        if block.receipts:
            self.busy.pop()
            for receipt in block.receipts:
                del self.places[receipt.transaction.hash]
        return block

    def find_busy(self, first: int, last: int) -> list[Block]:
        low, high = bisect.bisect_left(self.busy, first), bisect.bisect_right(self.busy, last)
        return [self.blocks[number] for number in self.busy[low:high]]

    def copy(self) -> "Branch":
        return Branch(list(self.blocks))


class Pool:
    """Transactions that wait, by nonce of our account and in the order they came from others. geth's rules."""

    def __init__(self) -> None:
        self.ours: dict[int, Transaction] = {}
        self.others: list[Transaction] = []

    def find_refusal(self, transaction: Transaction, state: State, floor: int) -> str | None:
        """What geth says to a transaction that it will not have. `floor`: the least priority fee, wei per gas."""
        assert transaction.nonce is not None
        if transaction.nonce < state.nonce:
            return f"nonce too low: next nonce {state.nonce}, tx nonce {transaction.nonce}"
        pooled = self.ours.get(transaction.nonce)
        if pooled is not None and pooled.hash == transaction.hash:
            return "already known"
        if transaction.priority_fee > transaction.max_fee:
            return "max priority fee per gas higher than max fee per gas"
        if transaction.gas_limit > BLOCK_GAS:
            return "exceeds block gas limit"
        if transaction.priority_fee < floor:
            return f"transaction underpriced: tip needed {floor}, tip permitted {transaction.priority_fee}"
        if state.balance < transaction.gas_limit * transaction.max_fee:
            return "insufficient funds for gas * price + value: balance is too small"
        if pooled is not None and not (
            10 * transaction.max_fee >= 11 * pooled.max_fee
            and 10 * transaction.priority_fee >= 11 * pooled.priority_fee
        ):
            return "replacement transaction underpriced"
        return None

    def put(self, transaction: Transaction) -> None:
        if transaction.nonce is None:
            self.others.append(transaction)
        else:
            self.ours[transaction.nonce] = transaction


class Chain:
    def __init__(self, terms: Terms, state: State, chance: random.Random) -> None:
        self.terms = terms
        self.pool = Pool()
        self._chance = chance
        genesis = Block(0, keccak(b"genesis"), bytes(32), terms.deployed_at, 10 * GWEI, state)
        self.branch = Branch([genesis])
        self.next_at = terms.deployed_at + SLOT
        """When the next block comes, if it comes."""
        self.floor_number = 0
        """No reorganisation takes away the block with this number, or one below it."""
        self.finalized_number = 0
        """What the chain itself calls finalized."""
        # The weather sets these.
        self.is_paused = False
        self.is_finality_paused = False
        self.demand = 10 * GWEI
        """What the base fee moves to, by an eighth a block at most (EIP-1559)."""
        self.inclusion = 0.95
        """Chance of a transaction that pays enough to be in the next block."""
        self.least_tip = GWEI // 100
        """Nothing below it is mined."""
        self.is_reverting = False
        """Whether the contract refuses every commitment, for some reason."""
        # What happened, for the audit.
        self.reorganisations: list[tuple[int, int]] = []
        """(when, how many blocks)"""

    @property
    def top(self) -> Block:
        return self.branch.blocks[-1]

    @property
    def height(self) -> int:
        return self.branch.blocks[-1].number

    def mine(self) -> None:
        """What happens at `next_at`: a block, or none."""
        timestamp = self.next_at
        self.next_at += SLOT
        if self.is_paused or self._chance.random() < 0.01:
            return
        self._push(timestamp, self._choose())
        height = self.height
        self.floor_number = max(self.floor_number, height - FINAL_DEPTH)
        if not self.is_finality_paused and height % 32 == 0:
            self.finalized_number = max(self.finalized_number, height - FINAL_DEPTH)

    def _push(self, timestamp: int, choose: Callable[[Block], Sequence[Transaction]]) -> None:
        parent = self.top
        number = parent.number + 1
        step = parent.base_fee >> 3
        if self.demand > parent.base_fee:
            base_fee = min(self.demand, parent.base_fee + max(1, step))
        else:
            base_fee = max(self.demand, parent.base_fee - step)
        block_hash = keccak(parent.hash + self._chance.getrandbits(64).to_bytes(8))
        state, receipts = parent.state, []
        block = Block(number, block_hash, parent.hash, timestamp, base_fee, state)
        for transaction in choose(block):
            state, receipt = self._execute(state, transaction, block)
            receipts.append(receipt)
        if receipts:
            block = msgspec.structs.replace(block, state=state, receipts=tuple(receipts))
        self.branch.push(block)

    def _choose(self) -> Callable[[Block], Sequence[Transaction]]:
        def choose(block: Block) -> Sequence[Transaction]:
            pool = self.pool
            if not pool.ours and not pool.others:
                return ()
            chosen, nonce = [], block.state.nonce
            for stale in [known for known in pool.ours if known < nonce]:
                del pool.ours[stale]
            budget = block.state.balance
            while (transaction := pool.ours.get(nonce)) is not None:
                tip = min(transaction.priority_fee, transaction.max_fee - block.base_fee)
                most = transaction.gas_limit * transaction.max_fee
                if tip < self.least_tip or most > budget or self._chance.random() > self.inclusion:
                    break
                budget -= most
                chosen.append(pool.ours.pop(nonce))
                nonce += 1
            if pool.others and self._chance.random() < self.inclusion:
                position = self._chance.randint(0, len(chosen))
                chosen[position:position] = pool.others
                pool.others = []
            return chosen

        return choose

    def _execute(self, state: State, transaction: Transaction, block: Block) -> tuple[State, Receipt]:
        logs: tuple[Log, ...] = ()
        problem, gas_used = "", transaction.gas
        price = min(transaction.max_fee, block.base_fee + transaction.priority_fee)
        after = state
        if transaction.gas > transaction.gas_limit:
            problem, gas_used = "out of gas", transaction.gas_limit
        elif transaction.call is not None:
            try:
                if self.is_reverting and isinstance(transaction.call, Commit):
                    raise Refused("ZeroAmount")
                after, logs = apply_call(self.terms, state, transaction.call, block.timestamp)
            except Refused as refused:
                problem, gas_used = refused.name, min(transaction.gas_limit, INTRINSIC_GAS + transaction.gas // 4)
        if transaction.nonce is not None:
            assert transaction.nonce == state.nonce
            after = msgspec.structs.replace(after, nonce=state.nonce + 1, balance=after.balance - gas_used * price)
        return after, Receipt(transaction, not problem, gas_used, price, problem, logs)

    def reorganise(self, depth: int, now: int, fate: str) -> int:
        """The last `depth` blocks give way to others, as many or nearly. `fate` of their transactions: `kept` in some
        block of the new branch, back in the `pool`, or `lost`. Returns how deep it went: what is final stays."""
        depth = min(depth, self.height - self.floor_number)
        if depth < 1:
            return 0
        taken = [self.branch.pop() for _ in range(depth)][::-1]
        freed = [receipt.transaction for block in taken for receipt in block.receipts]
        replay: list[Transaction] = []
        for transaction in freed:
            if fate == "lost" and transaction.is_ours:
                continue
            if fate == "kept" and self._chance.random() < 0.8:
                replay.append(transaction)
            else:
                self.pool.put(transaction)
        if fate != "kept" or self._chance.random() < 0.5:
            self._chance.shuffle(replay)
        count = max(1, depth + self._chance.choice((-1, 0, 0, 1)))
        stamps = [block.timestamp for block in taken][:count]
        if count > depth and stamps[-1] < now:
            stamps.append(now)
        for position, timestamp in enumerate(stamps):
            last = position == len(stamps) - 1
            self._push(timestamp, lambda block, last=last: self._choose_again(block, replay, last))
        for transaction in replay:
            self.pool.put(transaction)
        self.reorganisations.append((now, depth))
        return depth

    def _choose_again(self, block: Block, replay: list[Transaction], is_last: bool) -> list[Transaction]:
        """Some of those that were in the other branch: what is next by nonce, and can be paid."""
        chosen: list[Transaction] = []
        nonce = block.state.nonce
        for transaction in list(replay):
            if not is_last and self._chance.random() < 0.6:
                continue
            if transaction.nonce is not None:
                if transaction.nonce != nonce or transaction.max_fee < block.base_fee:
                    continue
                if transaction.gas_limit * transaction.max_fee > block.state.balance:
                    continue
                nonce += 1
            replay.remove(transaction)
            chosen.append(transaction)
        return chosen

    def change_balance(self, balance: int) -> None:
        """In the newest block, as if somebody had sent money there or from there."""
        block = self.branch.blocks[-1]
        self.branch.blocks[-1] = msgspec.structs.replace(
            block, state=msgspec.structs.replace(block.state, balance=balance)
        )


def make_transaction(
    data: bytes, l1_hash: Hash, nonce: int, gas_limit: int, max_fee: int, priority_fee: int
) -> Transaction:
    """One that our node signed."""
    call = decode_commit(data)
    gas = compute_commit_gas(data) if call is not None else INTRINSIC_GAS
    return Transaction(l1_hash, call, nonce, gas_limit, max_fee, priority_fee, gas, is_ours=True)
