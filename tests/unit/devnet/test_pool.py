"""Every reason to refuse a transaction, in geth's words, and the order in which a block takes those accepted."""

import pytest
import rlp
from eth_account import Account
from eth_typing import Address

from devnet.l1 import pool as rules
from devnet.l1.pool import Pool, check_transaction, is_better

CHAIN_ID = 31337
GAS_LIMIT = 30_000_000
GWEI = 10**9
SECP256K1_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class Ledger:
    """Accounts as a test sets them."""

    def __init__(self, nonce: int = 0, balance: int = 10**18, code: bytes = b"") -> None:
        self.nonce, self.balance, self.code = nonce, balance, code

    def get_nonce(self, address: Address) -> int:
        return self.nonce

    def get_balance(self, address: Address) -> int:
        return self.balance

    def get_code(self, address: Address) -> bytes:
        return self.code


def check(raw: bytes):
    return check_transaction(raw, CHAIN_ID, GAS_LIMIT)


def with_signature(raw: bytes, r: bytes, s: bytes) -> bytes:
    return raw[:1] + rlp.encode([*rlp.decode(raw[1:])[:-2], r, s])


def with_high_s(raw: bytes) -> bytes:
    fields = rlp.decode(raw[1:])
    fields[-3] = b"" if fields[-3] else b"\x01"
    fields[-1] = (SECP256K1_N - int.from_bytes(fields[-1], "big")).to_bytes(32, "big")
    return raw[:1] + rlp.encode(fields)


@pytest.mark.parametrize(
    ("fields", "refusal", "words"),
    [
        ({"chainId": 1}, rules.WrongChainId, "invalid chain id for signer: have 1 want 31337"),
        ({"chainId": None, "gasPrice": GWEI}, rules.NotReplayProtected, "only replay-protected"),
        ({"gas": 20_999}, rules.IntrinsicGasTooLow, "intrinsic gas too low: gas 20999, minimum needed 21000"),
        ({"gas": 53_000, "to": "", "data": b"\x01"}, rules.IntrinsicGasTooLow, "gas 53000, minimum needed 53018"),
        ({"gas": 38_000, "data": b"\x01" * 1000}, rules.FloorGasTooLow, "floor data gas cost: gas 38000, minimum"),
        ({"gas": GAS_LIMIT + 1}, rules.ExceedsBlockGasLimit, "exceeds block gas limit"),
        ({"maxFeePerGas": 1, "maxPriorityFeePerGas": 2}, rules.TipAboveFeeCap, "max priority fee per gas higher than"),
        ({"to": "", "data": bytes(49_153)}, rules.InitcodeTooLarge, "max initcode size exceeded: code size 49153"),
        ({"data": bytes(131_072)}, rules.OversizedData, "oversized data"),
    ],
)  # fmt: skip
def test_refusals_without_state(sign, fields, refusal, words):
    with pytest.raises(refusal, match=words):
        check(sign(**fields))


@pytest.mark.parametrize(
    ("spoil", "refusal", "words"),
    [
        (lambda raw: b"", rules.MalformedTransaction, "typed transaction too short"),
        (lambda raw: b"\x02", rules.MalformedTransaction, "rlp"),
        (lambda raw: raw[:-1], rules.MalformedTransaction, "rlp"),
        (lambda raw: raw + b"\x00", rules.MalformedTransaction, "rlp"),
        (lambda raw: b"\x03" + raw[1:], rules.TypeNotSupported, "transaction type not supported"),
        (lambda raw: b"\x04" + raw[1:], rules.TypeNotSupported, "transaction type not supported"),
        (lambda raw: b"\x7f" + raw[1:], rules.TypeNotSupported, "transaction type not supported"),
        (lambda raw: b"\x00" + raw[1:], rules.TypeNotSupported, "transaction type not supported"),
        (lambda raw: with_signature(raw, b"\x01", b"\x00\x01"), rules.MalformedTransaction, "rlp"),
        (lambda raw: with_signature(raw, b"\x01", b""), rules.InvalidSender, "invalid sender"),
        (lambda raw: with_signature(raw, b"", b"\x01"), rules.InvalidSender, "invalid sender"),
        (with_high_s, rules.InvalidSender, "invalid sender"),
    ],
)  # fmt: skip
def test_refusals_of_spoilt_bytes(sign, spoil, refusal, words):
    with pytest.raises(refusal, match=words):
        check(spoil(sign()))


@pytest.mark.parametrize("fields", [{}, {"gasPrice": GWEI}, {"gasPrice": GWEI, "type": 1, "accessList": []}])
def test_all_supported_types_name_their_sender(sign, accounts, fields):
    checked = check(sign(3, **fields))
    assert checked.sender == bytes.fromhex(accounts[3].address[2:])
    assert checked.transaction.encode() == checked.raw


def test_cost_is_value_and_all_gas_at_the_highest_fee(sign):
    assert check(sign(value=5, gas=30_000, maxFeePerGas=7 * GWEI)).cost_wei == 5 + 30_000 * 7 * GWEI
    assert check(sign(value=5, gas=30_000, gasPrice=2 * GWEI)).cost_wei == 5 + 30_000 * 2 * GWEI


@pytest.mark.parametrize(
    ("ledger", "refusal", "words"),
    [
        (Ledger(code=b"\x60"), rules.SenderNotExternallyOwned, "sender not an eoa: address 0xf39f"),
        (Ledger(nonce=6), rules.NonceTooLow, "nonce too low: next nonce 6, tx nonce 5"),
        (Ledger(balance=1), rules.InsufficientFunds, r"insufficient funds for gas \* price \+ value: balance 1, tx"),
    ],
)  # fmt: skip
def test_refusals_by_state(sign, ledger, refusal, words):
    with pytest.raises(refusal, match=words):
        Pool().check(check(sign(nonce=5)), ledger)


def test_nonce_may_not_be_the_last_possible(sign):
    with pytest.raises(rules.NonceHasMaxValue, match="nonce has max value"):
        check(sign(nonce=2**64 - 1))


def test_a_delegated_account_may_send(sign):
    assert Pool().check(check(sign()), Ledger(code=b"\xef\x01\x00" + bytes(20))) is None


def test_a_known_transaction_is_refused_before_everything_else(sign):
    pool, known = Pool(), check(sign())
    pool.add(known, 0)
    with pytest.raises(rules.AlreadyKnown, match="already known"):
        pool.check(known, Ledger(nonce=9, balance=0))


def test_all_that_waits_must_be_affordable_together(sign):
    pool = Pool()
    first = check(sign(nonce=0))
    pool.add(first, 0)
    second = check(sign(nonce=7))
    pool.check(second, Ledger(balance=first.cost_wei + second.cost_wei))
    with pytest.raises(rules.InsufficientFunds, match=f"queued cost {first.cost_wei}"):
        pool.check(second, Ledger(balance=first.cost_wei + second.cost_wei - 1))


def test_a_replacement_is_not_charged_for_what_it_replaces(sign):
    pool = Pool()
    pool.add(check(sign()), 0)
    better = check(sign(maxFeePerGas=4 * GWEI, maxPriorityFeePerGas=2 * GWEI))
    assert pool.check(better, Ledger(balance=better.cost_wei)) is not None


@pytest.mark.parametrize(
    ("fee", "tip", "is_enough"),
    [(110, 11, True), (109, 11, False), (110, 10, False), (111, 12, True), (100, 10, False), (200, 10, False)],
)
def test_a_replacement_raises_both_fees_by_a_tenth(sign, fee, tip, is_enough):
    pool, old = Pool(), check(sign(maxFeePerGas=100, maxPriorityFeePerGas=10))
    pool.add(old, 0)
    candidate = check(sign(maxFeePerGas=fee, maxPriorityFeePerGas=tip, value=2))
    assert is_better(candidate, old) is is_enough
    if is_enough:
        assert pool.check(candidate, Ledger()) is old
    else:
        with pytest.raises(rules.ReplacementUnderpriced, match="replacement transaction underpriced"):
            pool.check(candidate, Ledger())


def test_a_full_pool_still_takes_replacements(sign, monkeypatch):
    monkeypatch.setattr(rules, "MAX_TRANSACTIONS", 1)
    pool = Pool()
    pool.add(check(sign()), 0)
    with pytest.raises(rules.PoolFull, match="txpool is full"):
        pool.check(check(sign(nonce=1)), Ledger())
    assert pool.check(check(sign(maxFeePerGas=9 * GWEI, maxPriorityFeePerGas=9 * GWEI)), Ledger()) is not None


def test_next_nonce_stops_at_the_gap(sign, accounts):
    pool, sender = Pool(), Address(bytes.fromhex(accounts[0].address[2:]))
    for sequence, nonce in enumerate((3, 4, 6)):
        pool.add(check(sign(nonce=nonce)), sequence)
    assert pool.compute_next_nonce(sender, 3) == 5
    assert pool.compute_next_nonce(sender, 2) == 2
    assert pool.compute_next_nonce(sender, 6) == 7


def test_order_is_tip_then_arrival_and_each_senders_nonces(sign):
    pool = Pool()
    arriving = [
        sign(0, nonce=1, maxPriorityFeePerGas=3 * GWEI),  # the best tip, behind a poor one
        sign(0, nonce=0, maxPriorityFeePerGas=1),
        sign(1, nonce=0, maxPriorityFeePerGas=2 * GWEI),
        sign(2, nonce=0, maxPriorityFeePerGas=2 * GWEI),
        sign(3, nonce=1, maxPriorityFeePerGas=3 * GWEI),  # a gap before it
        sign(4, nonce=0, maxFeePerGas=GWEI - 1, maxPriorityFeePerGas=GWEI - 1),  # below the base fee
        sign(5, nonce=0, maxFeePerGas=2 * GWEI, maxPriorityFeePerGas=2 * GWEI),  # 1 gwei is left for a tip
    ]
    for sequence, raw in enumerate(arriving):
        pool.add(check(raw), sequence)
    ordered = pool.snapshot().list_in_order(Ledger(), base_fee_wei=GWEI)
    assert [arriving.index(candidate.raw) for candidate in ordered] == [2, 3, 6, 1, 0]


def test_what_was_not_executed_brings_nothing_after_it(sign):
    pool = Pool()
    for nonce in range(3):
        pool.add(check(sign(nonce=nonce)), nonce)
    assert [candidate.nonce for candidate in pool.snapshot().iterate(Ledger(), GWEI)] == [0]


def test_a_snapshot_does_not_see_what_comes_later(sign):
    pool = Pool()
    pool.add(check(sign()), 0)
    snapshot = pool.snapshot()
    pool.remove(check(sign()))
    pool.add(check(sign(1)), 1)
    assert [candidate.raw for candidate in snapshot.list_in_order(Ledger(), 0)] == [sign()]


def test_a_foreign_signer_is_a_stranger_without_money(sign):
    stranger = Account.create()
    transaction = {"nonce": 0, "to": "0x" + "77" * 20, "value": 1, "gas": 21_000, "gasPrice": GWEI, "chainId": CHAIN_ID}
    checked = check(bytes(stranger.sign_transaction(transaction).raw_transaction))
    assert checked.sender == bytes.fromhex(stranger.address[2:])
