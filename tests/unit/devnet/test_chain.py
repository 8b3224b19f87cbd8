"""Mining by the clock, the pool's way into blocks, and coming back from disk."""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import rlp

from devnet.l1 import genesis, pool
from devnet.l1.chain import Chain
from devnet.l1.pool import check_transaction
from devnet.l1.store import META, NUMBER, Batch, DataDirectoryError, Store, encode_u64

GWEI = 10**9
BURN_ALL_GAS = b"\xfe"  # INVALID, as init code


def get_account(devnet, index):
    state = devnet.chain.open_state(devnet.chain.head)
    address = genesis.ACCOUNTS[index]
    return state.get_nonce(address), state.get_balance(address)


# -- the clock ---------------------------------------------------------------------------------------------------------


def test_no_block_before_it_is_due(devnet, clock):
    assert devnet.chain.mine() is None
    clock.now += 0.999
    assert devnet.chain.mine() is None
    clock.now += 0.001
    assert devnet.chain.mine().number == 1


def test_timestamps_are_the_clocks_whole_seconds(devnet, clock):
    clock.now += 17.9
    block = devnet.chain.mine()
    assert block.header.timestamp == int(clock.now)
    assert devnet.chain.mine() is None


def test_a_clock_set_back_stops_mining_until_it_has_caught_up(devnet, clock):
    devnet.mine(3)
    head = devnet.chain.head
    clock.now = head.timestamp - 100
    assert devnet.chain.mine() is None
    assert devnet.chain.compute_wait_s() == 101
    clock.now = head.timestamp + 1
    assert devnet.chain.mine().header.parent_hash == head.hash


def test_block_time_is_kept(tmp_path, clock):
    with closing(Store(tmp_path / "slow")) as store:
        chain = Chain(store, block_time_s=5, clock=clock.read)
        clock.now += 4
        assert chain.mine() is None
        clock.now += 1
        assert chain.mine().number == 1


def test_an_empty_block_is_its_header_alone(devnet):
    before = devnet.chain.head
    block = devnet.mine()
    assert block.header.state_root == before.state_root
    assert devnet.store.get_body(block.number) == b""


def test_base_fee_of_an_idle_chain_falls_but_never_to_zero(devnet):
    fees = [devnet.mine().header.base_fee_per_gas for _ in range(170)]
    assert fees[:2] == [875_000_000, 765_625_000]
    assert fees == sorted(fees, reverse=True)
    assert fees[-1] == 7


def test_base_fee_rises_by_an_eighth_after_a_full_block(devnet, sign):
    fields = {"to": "", "value": 0, "data": BURN_ALL_GAS, "maxFeePerGas": 9 * GWEI}
    devnet.chain.submit(sign(0, **fields, gas=genesis.GAS_LIMIT - 3_000_000))
    devnet.chain.submit(sign(1, **fields, gas=3_000_000))
    full = devnet.mine()
    assert full.header.gas_used == genesis.GAS_LIMIT
    assert devnet.mine().header.base_fee_per_gas == full.header.base_fee_per_gas * 9 // 8


# -- transactions ------------------------------------------------------------------------------------------------------


def test_a_transfer_moves_value_and_burns_the_base_fee(devnet, sign):
    hash_ = devnet.chain.submit(sign(0, to=genesis.ACCOUNTS[1], value=5))
    block = devnet.mine()
    (mined,) = block.transactions
    price = block.header.base_fee_per_gas + GWEI
    assert (mined.hash, mined.status, mined.gas_used) == (hash_, 1, 21_000)
    assert get_account(devnet, 0) == (1, genesis.BALANCE_WEI - 5 - 21_000 * price)
    assert get_account(devnet, 1) == (0, genesis.BALANCE_WEI + 5)
    assert devnet.chain.open_state(block.header).get_balance(bytes(20)) == 21_000 * GWEI
    assert devnet.chain.find_transaction(hash_) == (block, 0)
    assert devnet.chain.get_pooled(hash_) is None


def test_ether_is_conserved_but_for_the_burnt_base_fee(devnet, sign):
    burnt = 0
    for round_ in range(5):
        for index in range(10):
            target = genesis.ACCOUNTS[(index + round_ + 1) % 10]
            devnet.chain.submit(sign(index, nonce=round_, to=target, value=index * 10**17))
        block = devnet.mine()
        assert len(block.transactions) == 10
        burnt += block.header.gas_used * block.header.base_fee_per_gas
    state = devnet.chain.open_state(devnet.chain.head)
    total = sum(state.get_balance(address) for address in (*genesis.ACCOUNTS, bytes(20)))
    assert total + burnt == 10 * genesis.BALANCE_WEI


def test_a_gap_waits_and_is_filled(devnet, sign):
    late = devnet.chain.submit(sign(nonce=1))
    assert devnet.mine().transactions == ()
    assert devnet.chain.get_pooled(late) is not None
    assert devnet.chain.get_pending_nonce(genesis.ACCOUNTS[0]) == 0
    devnet.chain.submit(sign(nonce=0))
    assert devnet.chain.get_pending_nonce(genesis.ACCOUNTS[0]) == 2
    assert [len(devnet.mine().transactions), get_account(devnet, 0)[0]] == [2, 2]


def test_a_fee_below_the_base_fee_waits_until_that_has_fallen(devnet, sign):
    hash_ = devnet.chain.submit(sign(maxFeePerGas=700_000_000, maxPriorityFeePerGas=1))
    assert devnet.mine(2).transactions == ()
    assert [mined.hash for mined in devnet.mine().transactions] == [hash_]


def test_a_replacement_takes_the_place_of_the_first(devnet, sign):
    first = devnet.chain.submit(sign(value=1))
    second = devnet.chain.submit(sign(value=2, maxFeePerGas=4 * GWEI, maxPriorityFeePerGas=2 * GWEI))
    assert devnet.chain.get_pooled(first) is None
    assert [mined.hash for mined in devnet.mine().transactions] == [second]
    assert devnet.chain.find_transaction(first) is None


def test_a_block_takes_no_more_gas_than_its_limit(devnet, sign):
    for index in range(3):
        devnet.chain.submit(sign(index, gas=14_000_000))
    # Gas is reserved by limit: 21,000 used and 14,000,000 asked for twice fit, and then a third time.
    assert len(devnet.mine().transactions) == 3
    burner = {"to": "", "value": 0, "data": BURN_ALL_GAS, "gas": 14_000_000}
    for index in range(3):
        devnet.chain.submit(sign(index, nonce=1, **burner))
    assert [len(devnet.mine().transactions) for _ in range(2)] == [2, 1]


def test_filling_a_block_stops_when_its_time_is_over(devnet, sign, clock):
    for nonce in range(5):
        devnet.chain.submit(sign(nonce=nonce))
    clock.steps = [0.0, 0.2, 0.2, 0.2]
    assert len(devnet.mine().transactions) == 3
    assert len(devnet.mine().transactions) == 2


def test_a_transaction_replaced_while_it_is_mined_does_not_come_back(devnet, sign, monkeypatch):
    devnet.chain.submit(sign(value=1))
    better = sign(value=2, maxFeePerGas=9 * GWEI, maxPriorityFeePerGas=9 * GWEI)
    commit = devnet.chain._commit

    def replace_then_commit(*arguments):
        devnet.chain.submit(better)
        commit(*arguments)

    monkeypatch.setattr(devnet.chain, "_commit", replace_then_commit)
    assert devnet.mine().transactions[0].raw == sign(value=1)
    monkeypatch.undo()
    assert devnet.mine().transactions == ()
    assert list(devnet.store.iterate_pooled()) == []


def test_a_transaction_that_the_state_refuses_does_not_stop_the_chain(devnet, sign, caplog):
    unaffordable = check_transaction(sign(0, value=10**30), 31337, genesis.GAS_LIMIT)
    devnet.chain._pool.add(unaffordable, 0)
    fine = devnet.chain.submit(sign(1))
    with caplog.at_level(logging.WARNING):
        block = devnet.mine()
    assert [mined.hash for mined in block.transactions] == [fine]
    assert devnet.chain.get_pooled(unaffordable.hash) is None
    assert "dropped transaction" in caplog.text


def test_a_failed_transaction_pays_and_leaves_a_receipt(devnet, sign):
    devnet.chain.submit(sign(to="", value=7, data=BURN_ALL_GAS, gas=100_000))
    (mined,) = devnet.mine().transactions
    assert (mined.status, mined.gas_used, mined.logs) == (0, 100_000, ())
    state = devnet.chain.open_state(devnet.chain.head)
    assert state.get_balance(mined.contract_address) == 0


def test_a_refused_transaction_is_not_kept(devnet, sign):
    with pytest.raises(pool.Refusal):
        devnet.chain.submit(sign(value=10**30))
    assert list(devnet.store.iterate_pooled()) == []


def test_submitting_from_many_threads_while_blocks_are_mined(devnet, sign):
    raws = {index: [sign(index, nonce=nonce) for nonce in range(25)] for index in range(4)}
    with ThreadPoolExecutor(4) as senders:
        sending = [senders.submit(lambda own: [devnet.chain.submit(raw) for raw in own], own) for own in raws.values()]
        mined = []
        while not all(sender.done() for sender in sending) or len(mined) < 100:
            mined += [transaction.hash for transaction in devnet.mine().transactions]
            assert devnet.chain.head.block_number < 10_000
        answered = [hash_ for sender in sending for hash_ in sender.result()]
    assert sorted(mined) == sorted(answered)
    assert [get_account(devnet, index)[0] for index in range(4)] == [25] * 4
    assert list(devnet.store.iterate_pooled()) == []


# -- the disk ----------------------------------------------------------------------------------------------------------


def test_a_resumed_chain_is_the_same_and_goes_on(devnet, sign, deploy):
    devnet.chain.submit(sign(to="", value=0, data=deploy(bytes.fromhex("00")), gas=100_000))
    devnet.mine(3)
    hashes = [devnet.chain.get_header(number).hash for number in range(4)]
    balances = [get_account(devnet, index) for index in range(10)]
    devnet.reopen()
    assert [devnet.chain.get_header(number).hash for number in range(4)] == hashes
    assert [get_account(devnet, index) for index in range(10)] == balances
    assert devnet.mine().header.parent_hash == hashes[-1]


def test_a_header_is_what_its_hash_says(devnet, sign):
    devnet.chain.submit(sign())
    header = devnet.mine().header
    assert devnet.store.get_content(header.hash) == rlp.encode(header)


def test_the_pool_survives_in_order_with_its_gaps(devnet, sign):
    waiting = [sign(0, nonce=2), sign(1, nonce=0), sign(0, nonce=0)]
    for raw in waiting:
        devnet.chain.submit(raw)
    devnet.chain.submit(sign(2))
    better = sign(2, value=9, maxFeePerGas=9 * GWEI, maxPriorityFeePerGas=9 * GWEI)
    devnet.chain.submit(better)
    devnet.reopen()
    assert [raw for _, raw in devnet.store.iterate_pooled()] == [*waiting, better]
    assert [mined.raw for mined in devnet.mine().transactions] == [better, waiting[1], waiting[2]]
    devnet.reopen()
    assert [raw for _, raw in devnet.store.iterate_pooled()] == waiting[:1]
    devnet.chain.submit(sign(0, nonce=1))
    assert len(devnet.mine().transactions) == 2


def test_a_pooled_transaction_that_became_invalid_is_forgotten_at_a_start(devnet, sign):
    batch = Batch()
    batch.put_pooled(3, sign(value=10**30))
    devnet.store.write(batch)
    devnet.reopen()
    assert list(devnet.store.iterate_pooled()) == []


def test_historic_state_stays_readable(devnet, sign):
    for nonce in range(4):
        devnet.chain.submit(sign(nonce=nonce, value=100))
        devnet.mine()
    devnet.reopen()
    target = bytes.fromhex("77" * 20)
    headers = [devnet.chain.get_header(number) for number in range(5)]
    assert [devnet.chain.open_state(header).get_balance(target) for header in headers] == [0, 100, 200, 300, 400]


def test_a_directory_keeps_its_chain_id(tmp_path, clock):
    with closing(Store(tmp_path)) as store:
        Chain(store, 5, clock=clock.read)
    with closing(Store(tmp_path)) as store:
        assert Chain(store, None, clock=clock.read).chain_id == 5
        with pytest.raises(DataDirectoryError, match="has id 5, not 6"):
            Chain(store, 6, clock=clock.read)


def damage_format(devnet):
    return {META + b"format": encode_u64(99)}


def damage_head(devnet):
    return {NUMBER + encode_u64(5): bytes(32)}


def damage_link(devnet):
    return {NUMBER + encode_u64(3): devnet.chain.get_header(2).hash}


def damage_header(devnet):
    header = devnet.chain.get_header(4)
    return {b"c" + header.hash: rlp.encode(header.copy(timestamp=1))}


def damage_child(devnet):
    other = devnet.chain.get_header(4).copy(extra_data=b"x")
    return {NUMBER + encode_u64(4): other.hash, b"c" + other.hash: rlp.encode(other)}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damage_format, "format 99"),
        (damage_head, "block 5 is missing or damaged"),
        (damage_link, "stored as number 3"),
        (damage_header, "block 4 is missing or damaged"),
        (damage_child, "block 5 is not a child of block 4"),
    ],
)
def test_damage_is_named_at_the_start(devnet, damage, words):
    devnet.mine(5)
    devnet.store.write(Batch(puts=damage(devnet)))
    with pytest.raises(DataDirectoryError, match=words):
        devnet.reopen()


def test_a_missing_state_is_named_at_the_start(devnet, sign):
    devnet.chain.submit(sign())
    head = devnet.mine().header
    devnet.store.write(Batch(deletes={b"c" + head.state_root}))
    with pytest.raises(DataDirectoryError, match="state after block 1 is missing"):
        devnet.reopen()


class BrokenDisk(Exception):
    pass


@pytest.mark.parametrize("is_done", [False, True], ids=["lost", "done but reported failed"])
@pytest.mark.parametrize("step", ["submit", "mine"])
def test_a_failing_disk_leaves_a_chain_that_resumes(devnet, sign, monkeypatch, step, is_done):
    """What was answered before stays, and nothing is half done, whichever way the write failed."""
    devnet.chain.submit(sign(0))
    write = devnet.store.write

    def fail(batch):
        if is_done:
            write(batch)
        raise BrokenDisk

    monkeypatch.setattr(devnet.store, "write", fail)
    with pytest.raises(BrokenDisk):
        devnet.chain.submit(sign(1)) if step == "submit" else devnet.mine()
    assert devnet.chain.head.block_number == 0
    monkeypatch.undo()
    devnet.reopen()
    devnet.mine()
    assert get_account(devnet, 0)[0] == 1
    assert get_account(devnet, 1)[0] == (1 if step == "submit" and is_done else 0)
