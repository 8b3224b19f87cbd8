"""Calls: what they see, how they fail, and what they are told to cost. Contracts are assembled by hand."""

import pytest
from eth_abi import encode
from eth_typing import Address

from devnet.l1 import genesis
from devnet.l1.execution import Call, ExecutionFailed, ExecutionReverted, decode_revert_reason

SENDER = Address(genesis.ACCOUNTS[0])
STRANGER = Address(bytes.fromhex("99" * 20))

STORE_WORD = bytes.fromhex("5f355f5500")  # PUSH0 CALLDATALOAD PUSH0 SSTORE: slot 0 becomes the first word
LOAD_WORD = bytes.fromhex("5f545f5260205ff3")  # returns slot 0
REVERT_DATA = bytes.fromhex("365f5f37365ffd")  # reverts with its call data
CALL_ITSELF = bytes.fromhex("5f5f5f5f5f305af100")  # CALL to ADDRESS with all GAS, until there is none left
CLEAR_WORD = bytes.fromhex("5f5f5500")  # clears slot 0
# NUMBER, TIMESTAMP, BASEFEE, CHAINID, PREVRANDAO and BLOCKHASH(NUMBER - 1), a word each
ENVIRONMENT = bytes.fromhex("435f52426020524860405246606052446080526001430340" + "60a05260c05ff3")


@pytest.fixture
def install(devnet, sign, deploy):
    """Deploys runtime code from account 0 and says where it is."""
    nonces = iter(range(100))

    def deploy_and_mine(runtime: bytes) -> Address:
        devnet.chain.submit(sign(nonce=next(nonces), to="", value=0, data=deploy(runtime), gas=200_000))
        (mined,) = devnet.mine().transactions
        assert mined.status == 1
        assert devnet.chain.open_state(devnet.chain.head).get_code(mined.contract_address) == runtime
        return Address(mined.contract_address)

    return deploy_and_mine


def call(devnet, **fields):
    return devnet.chain.call(Call(**{"sender": SENDER, "to": None, **fields}), devnet.chain.head)


def estimate(devnet, **fields):
    return devnet.chain.estimate_gas(Call(**{"sender": SENDER, "to": None, **fields}), devnet.chain.head)


def split(output: bytes) -> list[int]:
    return [int.from_bytes(output[at : at + 32], "big") for at in range(0, len(output), 32)]


def test_a_call_sees_the_latest_block_and_no_later_time(devnet, install, clock):
    contract = install(ENVIRONMENT)
    head = devnet.mine(3).header
    clock.now += 500
    number, timestamp, base_fee, chain_id, randao, parent = split(call(devnet, to=contract))
    assert (number, timestamp) == (head.block_number, head.timestamp)
    assert (base_fee, chain_id) == (0, 31337)
    assert randao.to_bytes(32, "big") == head.mix_hash
    assert parent.to_bytes(32, "big") == head.parent_hash


def test_a_call_that_offers_a_fee_sees_the_base_fee(devnet, install):
    contract = install(ENVIRONMENT)
    fields = {"to": contract, "max_fee_wei": 10**10, "gas": 100_000}
    assert split(call(devnet, **fields))[2] == devnet.chain.head.base_fee_per_gas
    with pytest.raises(ExecutionFailed, match="max fee per gas less than block base fee"):
        call(devnet, to=contract, max_fee_wei=1)


def test_a_call_at_an_old_block_sees_that_block(devnet, install):
    contract = install(ENVIRONMENT)
    old = devnet.chain.head
    devnet.mine(3)
    output = devnet.chain.call(Call(SENDER, contract), old)
    assert split(output)[:2] == [old.block_number, old.timestamp]


def test_calls_change_nothing(devnet, install):
    contract = install(STORE_WORD)
    root = devnet.chain.head.state_root
    call(devnet, to=contract, data=b"\x01" * 32)
    estimate(devnet, to=contract, data=b"\x01" * 32)
    assert devnet.chain.open_state(devnet.chain.head).get_storage(contract, 0) == 0
    assert devnet.mine().header.state_root == root


def test_anybody_may_call_without_money_but_not_send_it(devnet, install):
    contract = install(LOAD_WORD)
    assert call(devnet, sender=STRANGER, to=contract) == bytes(32)
    with pytest.raises(ExecutionFailed, match=r"insufficient funds for gas \* price \+ value.* have 0 want 1"):
        call(devnet, sender=STRANGER, to=contract, value_wei=1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "execution reverted"),
        (b"\x01\x02", "execution reverted"),
        (bytes.fromhex("08c379a0") + encode(["string"], ["no way"]), "execution reverted: no way"),
        (bytes.fromhex("08c379a0") + b"\xff", "execution reverted"),
        (bytes.fromhex("08c379a0") + encode(["bytes"], [b"\xff\xfe"]), "execution reverted"),
        (bytes.fromhex("4e487b71") + encode(["uint256"], [0x12]), "execution reverted: division or modulo by zero"),
        (bytes.fromhex("4e487b71") + encode(["uint256"], [0x99]), "execution reverted: unknown panic code: 0x99"),
        (bytes.fromhex("fb8f41b2") + bytes(96), "execution reverted"),
    ],
)  # fmt: skip
def test_reverts_carry_their_data_and_reason(devnet, install, data, words):
    contract = install(REVERT_DATA)
    for attempt in (call, estimate):
        with pytest.raises(ExecutionReverted) as caught:
            attempt(devnet, to=contract, data=data)
        assert (caught.value.data, str(caught.value)) == (data, words)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("fe", "invalid opcode: Invalid opcode 0xfe"),
        ("01", "stack underflow"),
        ("600156", "invalid jump destination"),
        ("5b600056", "out of gas"),
        ("60ef5f5360015ff3", "invalid code: must not begin with 0xef"),
    ],
)
def test_halts_are_told_in_geths_words(devnet, code, words):
    with pytest.raises(ExecutionFailed, match=words):
        call(devnet, data=bytes.fromhex(code), gas=100_000)


def test_gas_below_the_intrinsic_is_refused(devnet):
    with pytest.raises(ExecutionFailed, match="intrinsic gas too low: have 20000, want 21000"):
        call(devnet, to=STRANGER, gas=20_000)


def test_calls_may_nest_as_deep_as_gas_allows(devnet, install):
    contract = install(CALL_ITSELF)
    assert call(devnet, to=contract, gas=genesis.GAS_LIMIT) == b""


def test_estimate_of_a_transfer_is_exact(devnet):
    assert estimate(devnet, to=STRANGER, value_wei=1) == 21_000


@pytest.mark.parametrize("runtime", [STORE_WORD, CLEAR_WORD, LOAD_WORD], ids=["store", "clear", "load"])
def test_an_estimate_suffices_and_is_close_to_the_least(devnet, install, runtime):
    contract = install(runtime)
    fields = {"to": contract, "data": b"\x01" * 32}
    estimated = estimate(devnet, **fields)
    call(devnet, **fields, gas=estimated)
    with pytest.raises(ExecutionFailed):
        call(devnet, **fields, gas=estimated * 98 // 100)


def test_an_estimate_of_a_deployment_deploys(devnet, sign, deploy):
    init = deploy(STORE_WORD)
    gas = estimate(devnet, data=init)
    devnet.chain.submit(sign(to="", value=0, data=init, gas=gas))
    (mined,) = devnet.mine().transactions
    assert mined.status == 1
    assert mined.gas_used <= gas <= mined.gas_used * 102 // 100


def test_an_estimate_is_bounded_by_what_the_sender_can_pay(devnet):
    with pytest.raises(ExecutionFailed, match=r"gas required exceeds allowance \(0\)"):
        estimate(devnet, sender=STRANGER, to=SENDER, max_fee_wei=10**10)
    with pytest.raises(ExecutionFailed, match="gas required exceeds allowance"):
        estimate(devnet, data=bytes.fromhex("5b600056"), gas=90_000)


def test_a_custom_error_has_no_reason():
    assert decode_revert_reason(bytes.fromhex("fb8f41b2") + bytes(96)) is None
