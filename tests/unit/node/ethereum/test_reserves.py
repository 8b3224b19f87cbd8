"""The reserves over a simulated Ethereum: what is owed, what is there, and what is said when the two do not agree."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.primitives import ETHER
from node.ethereum.faults import RpcError, WrongDeployment
from node.ethereum.reserves import AssetReserves, FaultKind, Reading, ReservesReader, Verdict
from node.index import AssetCounters, Counters
from tests.unit.node.ethereum.simulated import TOKEN, SimulatedL1


class Books:
    """The ledger's counters, and how far the watcher is."""

    def __init__(self) -> None:
        self.counts = {ETHER: (0, 0), TOKEN: (0, 0)}
        """Asset → (deposits credited, their sum)"""
        self.withdrawn = {ETHER: 0, TOKEN: 0}
        self.sealed_epoch = 1
        self.synced_block = 0
        self.when_read: Callable[[], None] = lambda: None
        """What happens elsewhere just after the counters are read."""

    async def get_counters(self) -> Counters:
        lines = tuple(
            [
                AssetCounters(asset, 0, 0, count, total, 0, self.withdrawn[asset])
                for asset, (count, total) in self.counts.items()
            ]
        )
        counters = Counters(
            height=9, block=7, timestamp=5_000, epoch=self.sealed_epoch + 1, sealed_epoch=self.sealed_epoch,
            record_count=0, payment_count=0, account_count=0, assets=lines,
        )  # fmt: skip
        self.when_read()
        return counters


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
def reader(l1: SimulatedL1, books: Books) -> ReservesReader:
    return ReservesReader(l1, books.get_counters, lambda: books.synced_block, l1.clock, interval_ms=1)


async def read(reader: ReservesReader) -> Reading:
    await reader.tick()
    assert reader.state.fault is None and reader.state.reading is not None, reader.state
    return reader.state.reading


async def read_token(reader: ReservesReader) -> AssetReserves:
    _, token = (await read(reader)).lines
    assert token.asset == TOKEN
    return token


async def test_each_asset_is_held_against_the_contract(l1: SimulatedL1, books: Books, reader: ReservesReader) -> None:
    l1.deposit([5], asset=ETHER)
    l1.deposit([100, 20, 3])
    books.counts = {ETHER: (1, 5), TOKEN: (2, 120)}
    books.withdrawn[TOKEN] = 50
    l1.claim(30)
    l1.send_to_contract(7)
    reading = await read(reader)
    assert (reading.read_at, reading.l1_block) == (l1.now_ms, l1.top.block)
    assert (reading.ledger_block, reading.ledger_time) == (7, 5_000)
    ether, token = reading.lines
    assert ether == AssetReserves(ETHER, 1, 5, 0, 1, 5, 5, 5, 5)
    assert (ether.balances, ether.owed, ether.surplus, ether.verdict) == (5, 5, 0, Verdict.COVERED)
    assert token == AssetReserves(TOKEN, 2, 120, 50, 3, 123, 120, 93, 100)
    assert (token.balances, token.uncredited, token.unclaimed, token.claimed) == (70, 3, 20, 30)
    assert (token.owed, token.payable, token.shortfall, token.surplus) == (93, 93, 0, 7)
    assert token.verdict is Verdict.COVERED


async def test_an_empty_ledger_owes_nothing_and_is_covered(reader: ReservesReader) -> None:
    for line in (await read(reader)).lines:
        assert (line.owed, line.balance, line.surplus, line.verdict) == (0, 0, 0, Verdict.COVERED)


async def test_what_the_contract_has_lost_is_missing(l1: SimulatedL1, books: Books, reader: ReservesReader) -> None:
    l1.deposit([100])
    books.counts[TOKEN] = (1, 100)
    l1.send_to_contract(-1)  # a token that takes money back from its holders
    token = await read_token(reader)
    assert (token.is_balance_right, token.owed, token.payable, token.shortfall) == (False, 100, 99, 1)
    assert (token.surplus, token.verdict) == (0, Verdict.SHORT)


async def test_claims_beyond_what_was_withdrawn_are_missing_whatever_was_sent(
    l1: SimulatedL1, books: Books, reader: ReservesReader
) -> None:
    """The three parts of what is owed still add up to `held`: only the check tells."""
    l1.deposit([100])
    books.counts[TOKEN] = (1, 100)
    books.withdrawn[TOKEN] = 10
    l1.claim(11)
    l1.send_to_contract(1_000)
    token = await read_token(reader)
    assert token.balances + token.uncredited + token.unclaimed == token.held
    assert (token.is_claim_right, token.is_credit_right, token.is_balance_right) == (False, True, True)
    assert (token.unclaimed, token.owed, token.shortfall, token.verdict) == (-1, 90, 1, Verdict.SHORT)


async def test_credit_beyond_what_was_deposited_is_missing(
    l1: SimulatedL1, books: Books, reader: ReservesReader
) -> None:
    l1.deposit([100])
    books.counts[TOKEN] = (1, 101)
    token = await read_token(reader)
    assert (token.is_credit_right, token.uncredited, token.shortfall) == (False, -1, 1)
    assert token.verdict is Verdict.SHORT
    books.counts[TOKEN] = (2, 100)  # a deposit that the contract never had, worth nothing
    token = await read_token(reader)
    assert (token.queued_as_credited, token.is_credit_right, token.verdict) == (None, False, Verdict.UNEXPLAINED)


async def test_a_wrong_credit_is_seen_behind_deposits_on_their_way(
    l1: SimulatedL1, books: Books, reader: ReservesReader
) -> None:
    """More is in the queue than was credited, so nothing is short; but the first two were not what the ledger says."""
    l1.deposit([100, 20, 3])
    books.counts[TOKEN] = (2, 119)
    token = await read_token(reader)
    assert (token.queued_as_credited, token.shortfall, token.verdict) == (120, 0, Verdict.UNEXPLAINED)


async def test_what_a_token_does_not_say_is_not_known(l1: SimulatedL1, books: Books, reader: ReservesReader) -> None:
    l1.deposit([100])
    books.counts[TOKEN] = (1, 100)
    l1.is_token_silent = True
    token = await read_token(reader)
    assert (token.balance, token.is_balance_right, token.verdict) == (None, None, Verdict.UNKNOWN)
    l1.is_token_silent, l1.token_fault = False, RpcError("eth_call", -32000, "out of gas")
    ether, token = (await read(reader)).lines
    assert (ether.verdict, token.verdict) == (Verdict.COVERED, Verdict.UNKNOWN)


@given(
    credited=st.integers(0, 2**120),
    withdrawn=st.integers(0, 2**120),
    queued=st.integers(0, 2**120),
    held=st.integers(0, 2**120),
    sent=st.integers(-(2**119), 2**119),
)
def test_what_is_owed_adds_up_to_what_is_held_whatever_the_numbers(
    credited: int, withdrawn: int, queued: int, held: int, sent: int
) -> None:
    line = AssetReserves(TOKEN, 1, credited, withdrawn, 1, queued, queued, held, max(0, held + sent))
    assert line.balances + line.uncredited + line.unclaimed == held
    assert line.owed >= held  # so a wrong never looks like less owed
    assert line.verdict is not Verdict.COVERED or (
        line.owed == line.held == line.payable
        and line.uncredited >= 0
        and 0 <= line.unclaimed <= withdrawn
        and credited == queued
    )


# --- of one moment


async def test_a_deposit_credited_while_ethereum_is_read_changes_nothing(
    l1: SimulatedL1, books: Books, reader: ReservesReader
) -> None:
    """The ledger is read first, so what comes in between is at most not credited yet."""
    l1.deposit([100])
    books.counts[TOKEN] = (1, 100)

    def deposit_and_credit() -> None:
        l1.deposit([20])
        books.counts[TOKEN] = (2, 120)
        books.when_read = lambda: None

    books.when_read = deposit_and_credit
    token = await read_token(reader)
    assert (token.credited, token.uncredited, token.verdict) == (100, 20, Verdict.COVERED)


async def test_all_is_read_as_of_one_block(l1: SimulatedL1, books: Books, reader: ReservesReader) -> None:
    l1.deposit([100])
    books.counts[TOKEN] = (1, 100)
    before = l1.top.block

    def deposit_meanwhile(method: str) -> bool:
        if method == "get_held":
            l1.fault = lambda _: False
            l1.deposit([20])
        return False

    l1.fault = deposit_meanwhile
    reading = await read(reader)
    assert reading.l1_block == before and l1.top.block.number == before.number + 1
    assert reading.lines[1].held == 100


async def test_a_block_that_is_replaced_while_it_is_read_is_not_shown(
    l1: SimulatedL1, books: Books, reader: ReservesReader
) -> None:
    l1.deposit([100])

    def reorganise(method: str) -> bool:
        if method == "find_block" and l1.calls[method] == 2:
            l1.fault = lambda _: False
            l1.reorganise(1)
        return False

    l1.fault = reorganise
    await reader.tick()
    assert reader.state.reading is None
    assert reader.state.fault is not None and "replaced" in reader.state.fault.problem
    assert reader.state.fault.kind is FaultKind.REPLACED
    await read(reader)


async def test_an_endpoint_that_lags_is_not_believed(l1: SimulatedL1, books: Books, reader: ReservesReader) -> None:
    l1.deposit([100])
    books.counts[TOKEN] = (1, 100)
    books.synced_block = 2  # by another of the endpoint's machines
    await reader.tick()
    assert reader.state.reading is None and reader.state.fault is not None
    assert "behind" in reader.state.fault.problem
    assert reader.state.fault.kind is FaultKind.ENDPOINT_BEHIND
    l1.mine()
    reading = await read(reader)
    del l1.chain[-1]
    books.synced_block = 0
    await reader.tick()
    assert reader.state.reading is reading and reader.state.fault is not None


async def test_an_index_without_the_epochs_that_are_claimed_from_is_waited_for(
    l1: SimulatedL1, books: Books, reader: ReservesReader
) -> None:
    l1.deposit([100])
    l1.claim(40, final_epoch=2)
    books.counts[TOKEN] = (1, 100)
    await reader.tick()
    assert reader.state.reading is None and reader.state.fault is not None
    assert "the index is behind" in reader.state.fault.problem
    assert reader.state.fault.kind is FaultKind.INDEX_BEHIND
    books.sealed_epoch, books.withdrawn[TOKEN] = 2, 40
    assert (await read_token(reader)).verdict is Verdict.COVERED


# --- faults


@pytest.mark.parametrize("method", ["find_block", "get_head", "get_deposit_count", "get_held", "get_balance"])
async def test_after_a_fault_the_last_reading_stays_and_says_so(
    l1: SimulatedL1, books: Books, reader: ReservesReader, method: str
) -> None:
    first = await read(reader)
    failed_at = l1.now_ms + 12_000
    l1.fault = method.__eq__
    for count in (1, 2):
        l1.mine()
        await reader.tick()
        assert reader.state.reading is first
        assert reader.state.fault is not None and reader.state.fault.count == count
        assert reader.state.fault.since == failed_at
        assert reader.state.fault.kind is FaultKind.OUT_OF_REACH
        assert method in reader.state.fault.problem
    l1.fault = lambda _: False
    assert (await read(reader)).l1_block == l1.top.block


async def test_another_chain_is_a_fault_like_any_other(l1: SimulatedL1, reader: ReservesReader) -> None:
    l1.wrong = WrongDeployment("wrong_chain", "the endpoint serves chain 2")
    await reader.tick()
    assert reader.state.fault is not None and "chain 2" in reader.state.fault.problem
    assert reader.state.fault.kind is FaultKind.WRONG_DEPLOYMENT


async def test_an_endpoints_words_are_cut(l1: SimulatedL1, reader: ReservesReader) -> None:
    l1.wrong = WrongDeployment("wrong_chain", "x" * 1_000_000)
    await reader.tick()
    assert reader.state.fault is not None and reader.state.fault.problem == "x" * 299 + "…"


async def test_it_reads_again_and_again(l1: SimulatedL1, reader: ReservesReader) -> None:
    l1.fault = lambda method: l1.calls[method] == 1
    task = asyncio.create_task(reader.run())
    for _ in range(1_000):
        await asyncio.sleep(0.001)
        if reader.state.reading is not None:
            break
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert reader.state.reading is not None and reader.state.fault is None


async def test_what_is_no_outside_fault_ends_it(l1: SimulatedL1, books: Books) -> None:
    async def fail() -> Counters:
        raise ValueError("a mistake of ours")

    with pytest.raises(ValueError, match="ours"):
        await ReservesReader(l1, fail, lambda: 0, l1.clock).run()
