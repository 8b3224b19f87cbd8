"""Proofs against the state root of the block's header, checked by `trie` as a client would."""

import pytest
import rlp
from eth.rlp.accounts import Account
from eth_utils import keccak
from trie import HexaryTrie
from trie.exceptions import BadTrieProof

from devnet.l1 import genesis
from devnet.l1.proof import prove_account

STORE_AT = bytes.fromhex("6020355f355500")  # slot CALLDATALOAD(0) becomes CALLDATALOAD(32)


def prove(devnet, header, address, slots=()):
    return prove_account(devnet.chain.open_database(), header.state_root, address, tuple(slots))


def read_account(root, proof):
    encoded = HexaryTrie.get_from_proof(root, keccak(proof.address), [rlp.decode(node) for node in proof.nodes])
    return rlp.decode(encoded, Account) if encoded else None


def read_slot(storage_root, slot):
    key = keccak(slot.slot.to_bytes(32, "big"))
    encoded = HexaryTrie.get_from_proof(storage_root, key, [rlp.decode(node) for node in slot.nodes])
    return int.from_bytes(rlp.decode(encoded), "big") if encoded else 0


@pytest.fixture
def contract(devnet, sign, deploy):
    """Slots 0 to 39 hold small and large values, in two blocks."""
    devnet.chain.submit(sign(to="", value=0, data=deploy(STORE_AT), gas=200_000))
    address = devnet.mine().transactions[0].contract_address
    for slot in range(40):
        word = (slot + 1 if slot % 2 else 2**255 + slot).to_bytes(32, "big")
        fields = {"to": address, "value": 0, "data": slot.to_bytes(32, "big") + word, "gas": 60_000}
        devnet.chain.submit(sign(nonce=slot + 1, **fields))
        if slot == 19:
            devnet.mine()
    devnet.mine()
    return address


def test_accounts_that_exist_and_do_not(devnet, sign):
    devnet.chain.submit(sign(value=3))
    header = devnet.mine().header
    proof = prove(devnet, header, genesis.ACCOUNTS[0])
    account = read_account(header.state_root, proof)
    assert (account.nonce, account.balance) == (proof.nonce, proof.balance_wei)
    assert proof.nonce == 1
    absent = prove(devnet, header, b"\x01" * 20)
    assert read_account(header.state_root, absent) is None
    assert (absent.nonce, absent.balance_wei, absent.code_hash) == (0, 0, keccak(b""))


def test_slots_that_are_set_and_not(devnet, contract):
    header = devnet.chain.head
    proof = prove(devnet, header, contract, range(60))
    account = read_account(header.state_root, proof)
    assert account.storage_root == proof.storage_root
    for slot in proof.storage:
        expected = 0 if slot.slot >= 40 else slot.slot + 1 if slot.slot % 2 else 2**255 + slot.slot
        assert (slot.value, read_slot(proof.storage_root, slot)) == (expected, expected)
        assert all(len(node) >= 32 for node in slot.nodes)


def test_proofs_of_an_old_block(devnet, contract):
    old = devnet.chain.get_header(2)
    proof = prove(devnet, old, contract, [3, 30])
    assert read_account(old.state_root, proof).storage_root == proof.storage_root
    assert [read_slot(proof.storage_root, slot) for slot in proof.storage] == [4, 0]
    assert proof.storage_root != prove(devnet, devnet.chain.head, contract).storage_root


def test_an_account_without_storage_proves_its_slots_by_its_root(devnet):
    proof = prove(devnet, devnet.chain.head, genesis.ACCOUNTS[0], [0])
    assert [(slot.value, slot.nodes) for slot in proof.storage] == [(0, ())]
    assert proof.storage_root == keccak(rlp.encode(b""))


def test_a_proof_is_of_one_root_only(devnet, contract):
    proof = prove(devnet, devnet.chain.head, contract)
    with pytest.raises(BadTrieProof):
        read_account(devnet.chain.get_header(0).state_root, proof)


def test_a_small_trie_has_nodes_inside_nodes(devnet, sign, deploy):
    """Two short leaves under one branch are embedded in it, and are no proof nodes of their own."""
    devnet.chain.submit(sign(to="", value=0, data=deploy(STORE_AT), gas=200_000))
    address = devnet.mine().transactions[0].contract_address
    for nonce, slot in enumerate((1, 2), 1):
        fields = {"to": address, "value": 0, "gas": 60_000}
        devnet.chain.submit(sign(nonce=nonce, **fields, data=slot.to_bytes(32, "big") + (9).to_bytes(32, "big")))
    header = devnet.mine().header
    proof = prove(devnet, header, address, [1, 2, 3])
    assert [read_slot(proof.storage_root, slot) for slot in proof.storage] == [9, 9, 0]
