"""Logs by bloom filter and by hand give the same."""

import pytest

from devnet.l1 import logs
from devnet.l1.logs import LogFilter, TooManyResults, find_logs, iterate_logs

# LOG2 of the first word, topics: the second word and the caller
LOGGER = bytes.fromhex("5f355f52" + "33" + "602035" + "60205fa200")
PLAIN = bytes.fromhex("5f5fa000")  # LOG0 without data


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


@pytest.fixture
def contracts(devnet, sign, deploy):
    """Two loggers used by three senders with three topics, over several blocks, some of them empty."""
    for nonce, code in enumerate((LOGGER, LOGGER, PLAIN)):
        devnet.chain.submit(sign(0, nonce=nonce, to="", value=0, data=deploy(code), gas=200_000))
    addresses = [mined.contract_address for mined in devnet.mine().transactions]
    for round_ in range(4):
        for index in range(3):
            target = addresses[(index + round_) % 3]
            data = word(round_) + word(100 + index)
            nonce = round_ + (3 if index == 0 else 0)
            devnet.chain.submit(sign(index, nonce=nonce, to=target, value=0, data=data, gas=60_000))
        devnet.mine()
        devnet.mine(round_ + 1)
    return addresses


def find_by_hand(devnet, wanted, first, last):
    blocks = [devnet.chain.get_block(devnet.chain.get_header(number)) for number in range(first, last + 1)]
    return [found for block in blocks for found in iterate_logs(block) if wanted.matches(found.log)]


def test_filters_agree_with_looking_at_everything(devnet, contracts, accounts):
    head = devnet.chain.head.block_number
    callers = [bytes(12) + bytes.fromhex(account.address[2:]) for account in accounts[:3]]
    one, several = frozenset({contracts[0]}), frozenset(contracts)
    filters = [
        LogFilter(),
        LogFilter(one),
        LogFilter(several),
        LogFilter(frozenset({b"\x05" * 20})),
        LogFilter(topics=(frozenset({word(100)}),)),
        LogFilter(topics=(frozenset({word(100), word(101)}), frozenset({callers[1]}))),
        LogFilter(topics=(frozenset(), frozenset({callers[2]}))),
        LogFilter(topics=(frozenset(), frozenset(), frozenset())),
        LogFilter(one, (frozenset(), frozenset({callers[0], callers[2]}))),
    ]
    counts = []
    for wanted in filters:
        for first, last in ((0, head), (2, 4), (head, head + 100), (3, 3)):
            found = find_logs(devnet.chain, wanted, first, last)
            assert found == find_by_hand(devnet, wanted, first, min(last, head))
        counts.append(len(find_logs(devnet.chain, wanted, 0, head)))
    assert counts[0] == 12
    assert all(counts[index] for index in (1, 2, 4, 5, 6, 8))
    assert counts[3] == counts[7] == 0


def test_a_block_without_logs_is_not_even_looked_at(devnet, contracts):
    numbers = devnet.chain.find_blocks_with_logs(0, devnet.chain.head.block_number, lambda bloom: True)
    assert len(numbers) == 4


def test_log_indexes_count_through_the_block(devnet, contracts):
    found = [place for place in find_logs(devnet.chain, LogFilter(), 0, 99) if place.header.block_number == 2]
    assert [(place.transaction_index, place.log_index) for place in found] == [(0, 0), (1, 1), (2, 2)]


def test_results_are_bounded(devnet, contracts, monkeypatch):
    monkeypatch.setattr(logs, "MAX_RESULTS", 11)
    with pytest.raises(TooManyResults, match="more than 11 results"):
        find_logs(devnet.chain, LogFilter(), 0, devnet.chain.head.block_number)
