import pytest

from devnet.l1.fees import compute_fee_history, compute_next_base_fee

GWEI = 10**9


def compute_base_fee(parent):
    """EIP-1559, written once more."""
    target = parent.gas_limit // 2
    delta = parent.base_fee_per_gas * abs(parent.gas_used - target) // target // 8
    if parent.gas_used > target:
        return parent.base_fee_per_gas + max(delta, 1)
    return parent.base_fee_per_gas - delta


@pytest.fixture
def busy(devnet, sign):
    """Block 1 empty; block 2 with transactions of 21,000 gas at tips of 1, 2, 3 and 4 gwei; block 3 empty."""
    devnet.mine()
    for index in range(4):
        devnet.chain.submit(sign(index, maxFeePerGas=9 * GWEI, maxPriorityFeePerGas=(index + 1) * GWEI))
    devnet.mine(2)
    return devnet.chain


def test_base_fees_follow_the_rule_and_end_with_the_next(busy):
    history = compute_fee_history(busy, 10, busy.head, ())
    headers = [busy.get_header(number) for number in range(4)]
    assert history.oldest_block == 0
    assert history.base_fees_wei[0] == GWEI
    assert list(history.base_fees_wei[1:]) == [compute_base_fee(header) for header in headers]
    assert history.base_fees_wei[-1] == compute_next_base_fee(busy.head)
    assert history.gas_used_ratios == (0.0, 0.0, 84_000 / 30_000_000, 0.0)
    assert history.rewards_wei is None


def test_rewards_are_the_tips_at_the_percentiles_of_gas(busy):
    history = compute_fee_history(busy, 2, busy.head, (0, 25, 26, 50, 75.1, 100))
    assert history.oldest_block == 2
    assert history.rewards_wei == (tuple(tip * GWEI for tip in (1, 1, 2, 2, 4, 4)), (0,) * 6)


def test_a_tip_is_what_the_fee_cap_leaves_of_it(devnet, sign):
    devnet.chain.submit(sign(maxFeePerGas=GWEI, maxPriorityFeePerGas=GWEI))
    block = devnet.mine()
    history = compute_fee_history(devnet.chain, 1, block.header, (50,))
    assert history.rewards_wei == ((GWEI - block.header.base_fee_per_gas,),)


def test_history_ends_where_asked(busy):
    history = compute_fee_history(busy, 2, busy.get_header(2), ())
    assert (history.oldest_block, len(history.base_fees_wei)) == (1, 3)
