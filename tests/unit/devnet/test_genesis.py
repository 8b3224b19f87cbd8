from devnet.l1 import genesis
from devnet.l1.chain import Chain
from devnet.l1.store import Store


def test_accounts_are_those_of_the_mnemonic(accounts):
    assert [bytes.fromhex(account.address[2:]) for account in accounts] == list(genesis.ACCOUNTS)


def test_each_account_starts_with_ten_thousand_ether(devnet):
    state = devnet.chain.open_state(devnet.chain.head)
    assert [state.get_balance(address) for address in genesis.ACCOUNTS] == [10_000 * 10**18] * 10


def test_genesis_header(devnet, clock):
    head = devnet.chain.head
    assert (head.block_number, head.timestamp, head.parent_hash) == (0, int(clock.now), bytes(32))
    assert (head.gas_limit, head.gas_used, head.base_fee_per_gas) == (30_000_000, 0, 10**9)


def test_two_chains_share_no_hash(tmp_path, devnet, clock):
    store = Store(tmp_path / "other")
    assert Chain(store, clock=clock.read).head.hash != devnet.chain.head.hash
    store.close()
