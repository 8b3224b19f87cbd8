"""`chain` against every vector. The vectors come from another implementation, so agreement here means something."""

from typing import Any, Final

import pytest
from coincurve import PrivateKey

from chain.account import (
    ACCOUNT_LEAF_SIZE,
    AccountLeaf,
    NonceWindow,
    continues,
    decode_account_leaf,
    encode_account_leaf,
    hash_account_leaf,
    is_leaf_sound,
)
from chain.block import (
    Block,
    Header,
    build_records_tree,
    compute_request_id,
    decode_block,
    encode_block,
    encode_record,
    hash_header,
)
from chain.commitment import (
    AssetCommitment,
    Commitment,
    compute_stored_hash,
    decode_commitment,
    encode_commitment,
    hash_commitment,
)
from chain.encoding import encode_canonical_json
from chain.errors import InvalidProof, Refusal
from chain.evidence import WithdrawalClaim, check_withdrawal_claim, get_line
from chain.hashing import keccak
from chain.instruction import (
    check_signed_instruction,
    compute_instruction_id,
    decode_signed_instruction,
    encode_signed_instruction,
)
from chain.instruction import check_structure as check_instruction_structure
from chain.ledger import Ledger
from chain.market import File, compute_daily_charge, compute_shares, compute_storage_charge
from chain.merkle import (
    ListFrontier,
    ListTree,
    MutableListTree,
    SumFrontier,
    SumNode,
    SumTree,
    check_list_proof,
    check_sum_proof,
    compute_list_root,
    compute_sum_root,
    hash_list_leaf,
)
from chain.params import Domain, Market, Parameters, compute_ledger_chain_id
from chain.payment import (
    Output,
    Payment,
    check_signed_payment,
    check_structure,
    compute_payment_id,
    compute_struct_hash,
)
from chain.primitives import ZERO_ADDRESS, ZERO_HASH
from chain.registry import (
    RegistryProof,
    check_registry_proof,
    compute_extra_root,
    decode_entry,
    encode_entry,
)
from chain.sealing import open_sealed_key, seal_key
from chain.signatures import check_signer, recover_address, sign_digest
from chain.statement import (
    Credit,
    Debit,
    Withdrawal,
    compute_credits_root,
    compute_debits_root,
    hash_credit,
    hash_debit,
    hash_withdrawal,
)
from chain.wire import (
    decode_instruction,
    decode_record,
    decode_registry_entry,
    encode_instruction,
    encode_registry_entry,
)
from tests.vectors import FOLDER, Case, list_layouts, load_cases, to_bytes
from tests.vectors.generate import LAYOUTS, render

PROOF_PROBLEMS: Final = {
    "index_out_of_range": r"^index \d+ is not below the count \d+$",
    "proof_length_mismatch": r"^\d+ siblings, a tree of \d+ has \d+$",
    "padding_not_empty": r"^the sibling at height \d+ lies beyond leaf \d+ and is not empty$",
    "sum_too_large": r"^the sum \d+ at height \d+ does not fit 128 bits$",
    "root_mismatch": r"does not lead to the (extra root|root|root and its sum)$",
    "asset_not_in_commitment": r"^epoch \d+ has no line for asset 0x[0-9a-f]{40}$",
}
"""Named apart in the vectors, as the contract names them. In `chain` all are `invalid_proof`, with these reasons."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    layout = metafunc.function.__name__.removeprefix("test_")
    if "case" in metafunc.fixturenames:
        cases = load_cases(layout)
        metafunc.parametrize("case", cases, ids=[case.desc for case in cases])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_are_what_the_generator_makes(layout: str) -> None:
    assert (FOLDER / f"{layout}.json").read_text() == render(layout), "run: python -m tests.vectors.generate"


def test_every_file_has_a_generator_and_a_test() -> None:
    assert set(list_layouts()) == set(LAYOUTS)
    assert [layout for layout in LAYOUTS if f"test_{layout}" not in globals()] == []


# --- trees


def test_list_tree(case: Case) -> None:
    items = [to_bytes(item) for item in case.input["items"]]
    want = get_want(case)
    root = to_bytes(want["root"])
    tree, frontier = ListTree(items), ListFrontier()
    for item in items:
        frontier.append(item)
    assert [hash_list_leaf(item) for item in items] == [to_bytes(leaf) for leaf in want["leaves"]]
    assert tree.root == root
    assert frontier.root == root
    for index, proof in enumerate(want["proofs"]):
        siblings = [to_bytes(sibling) for sibling in proof]
        assert tree.prove(index) == siblings
        check_list_proof(items[index], index, len(items), siblings, root)


def test_list_proof(case: Case) -> None:
    item, siblings = to_bytes(case.input["item"]), [to_bytes(sibling) for sibling in case.input["siblings"]]
    index, count, root = int(case.input["index"]), int(case.input["count"]), to_bytes(case.input["root"])
    if case.error:
        with pytest.raises(InvalidProof, match=PROOF_PROBLEMS[case.error]):
            check_list_proof(item, index, count, siblings, root)
    else:
        check_list_proof(item, index, count, siblings, root)
        assert compute_list_root(item, index, count, siblings) == to_bytes(get_want(case)["root"])


def test_sum_tree(case: Case) -> None:
    leaves = [read_node(leaf) for leaf in case.input["leaves"]]
    root = read_node(get_want(case)["root"])
    tree, frontier = SumTree(leaves), SumFrontier()
    for leaf in leaves:
        frontier.append(*leaf)
    assert tree.root == root
    assert frontier.root == root
    for index, proof in enumerate(get_want(case)["proofs"]):
        siblings = [read_node(node) for node in proof]
        assert tree.prove(index) == siblings
        check_sum_proof(leaves[index], index, len(leaves), siblings, root)


def test_sum_proof(case: Case) -> None:
    leaf, siblings = read_node(case.input["leaf"]), [read_node(node) for node in case.input["siblings"]]
    index, count, root = int(case.input["index"]), int(case.input["count"]), read_node(case.input["root"])
    if case.error:
        with pytest.raises(InvalidProof, match=PROOF_PROBLEMS[case.error]):
            check_sum_proof(leaf, index, count, siblings, root)
    else:
        check_sum_proof(leaf, index, count, siblings, root)
        assert compute_sum_root(leaf, index, count, siblings) == read_node(get_want(case)["root"])


# --- leaves


def test_debit(case: Case) -> None:
    form, want = case.input, get_want(case)
    debit = Debit(int(form["type"]), int(form["number"]), to_bytes(form["id"]), int(form["amount"]))
    assert hash_debit(debit) == to_bytes(want["hash"]) == keccak(to_bytes(want["preimage"]))
    assert compute_debits_root([debit]) == (to_bytes(want["hash"]), debit.amount)


def test_credit(case: Case) -> None:
    form, want = case.input, get_want(case)
    place = (int(form[name]) for name in ("block", "record", "output"))
    credit = Credit(*place, int(form["type"]), to_bytes(form["id"]), int(form["amount"]))
    assert hash_credit(credit) == to_bytes(want["hash"]) == keccak(to_bytes(want["preimage"]))
    assert compute_credits_root([credit]) == (to_bytes(want["hash"]), credit.amount)


def test_withdrawal(case: Case) -> None:
    want = get_want(case)
    assert hash_withdrawal(read_withdrawal(case.input)) == to_bytes(want["hash"]) == keccak(to_bytes(want["preimage"]))


def test_account_leaf(case: Case) -> None:
    leaf, want = read_leaf(case.input), get_want(case)
    encoded = encode_account_leaf(leaf)
    assert len(encoded) == ACCOUNT_LEAF_SIZE
    assert encoded == to_bytes(want["encoded"])
    assert hash_account_leaf(encoded) == to_bytes(want["hash"])
    assert is_leaf_sound(leaf) is want["isSound"]
    assert decode_account_leaf(encoded) == leaf
    if want["isSound"]:
        assert leaf.closing == int(want["closing"])


def test_continues(case: Case) -> None:
    form = case.input
    later, earlier = read_leaf(form["later"]), read_leaf(form["earlier"])
    found = continues(later, int(form["laterEpoch"]), earlier, int(form["earlierEpoch"]))
    assert found is get_want(case)["continues"]


def test_request_id(case: Case) -> None:
    form = case.input
    found = compute_request_id(int(form["type"]), to_bytes(form["asset"]), int(form["index"]))
    assert found == to_bytes(get_want(case)["id"])


# --- signed messages


def test_domain(case: Case) -> None:
    l1_chain_id, settlement = int(case.input["l1ChainId"]), to_bytes(case.input["settlement"])
    want = get_want(case)
    assert compute_ledger_chain_id(l1_chain_id, settlement) == int(want["ledgerChainId"])
    assert Domain.of(l1_chain_id, settlement).separator == to_bytes(want["domainSeparator"])


def test_genesis(case: Case) -> None:
    form, want = case.input, get_want(case)
    addresses = to_bytes(form["settlement"]), to_bytes(form["nativeAsset"])
    market = read_market(form["market"])
    market.check()
    parameters = Parameters(int(form["l1ChainId"]), *addresses, int(form["deployedAt"]), market)
    canonical = encode_canonical_json(parameters.to_json())
    assert canonical.decode() == want["canonicalJson"]
    assert keccak(canonical) == to_bytes(want["parametersHash"])
    assert parameters.genesis_hash == to_bytes(want["genesisHash"])


def test_payment(case: Case) -> None:
    payment, domain = read_payment(case.input["payment"]), read_domain(case.input["domain"])
    if case.error:
        with pytest.raises(Refusal) as caught:
            check_structure(payment)
        assert caught.value.code == case.error
        return
    want = get_want(case)
    payment_id, signature = to_bytes(want["id"]), to_bytes(want["signature"])
    check_structure(payment)
    assert compute_struct_hash(payment) == to_bytes(want["structHash"])
    assert compute_payment_id(payment, domain) == payment_id
    assert sign_digest(PrivateKey(to_bytes(case.input["privateKey"])), payment_id) == signature
    assert check_signed_payment(payment, signature, domain).id == payment_id


def test_instruction(case: Case) -> None:
    instruction, domain = decode_instruction(case.input["instruction"]), read_domain(case.input["domain"])
    if case.error:
        with pytest.raises(Refusal) as caught:
            check_instruction_structure(instruction)
        assert caught.value.code == case.error
        return
    want = get_want(case)
    instruction_id, signature = to_bytes(want["id"]), to_bytes(want["signature"])
    assert compute_instruction_id(instruction, domain) == instruction_id
    assert domain.compute_digest(to_bytes(want["structHash"])) == instruction_id
    assert sign_digest(PrivateKey(to_bytes(case.input["privateKey"])), instruction_id) == signature
    signed = check_signed_instruction(instruction, signature, domain)
    assert signed.id == instruction_id
    assert encode_signed_instruction(signed) == to_bytes(want["journal"])
    assert decode_signed_instruction(to_bytes(want["journal"])) == signed
    assert decode_instruction(encode_instruction(instruction)) == instruction


def test_signature(case: Case) -> None:
    digest, signature, signer = (to_bytes(case.input[name]) for name in ("digest", "signature", "signer"))
    if case.error:
        with pytest.raises(Refusal) as caught:
            check_signer(digest, signature, signer)
        assert caught.value.code == case.error
    else:
        check_signer(digest, signature, signer)
        assert recover_address(digest, signature) == to_bytes(get_want(case)["signer"])


def test_sealed_key(case: Case) -> None:
    secret, public_key, context, sealed = (
        to_bytes(case.input[name]) for name in ("recipientSecret", "recipientPublicKey", "context", "sealed")
    )
    assert PrivateKey(secret).public_key.format() == public_key
    if case.error:
        with pytest.raises(Refusal) as caught:
            open_sealed_key(sealed, secret, context)
        assert caught.value.code == case.error
        return
    want = get_want(case)
    key, ephemeral_secret = to_bytes(want["key"]), to_bytes(want["ephemeralSecret"])
    assert seal_key(key, public_key, context, ephemeral_secret) == sealed
    assert open_sealed_key(sealed, secret, context) == key


def test_header(case: Case) -> None:
    header, domain, want = read_header(case.input["header"]), read_domain(case.input["domain"]), get_want(case)
    assert hash_header(header, domain) == to_bytes(want["hash"]) == domain.compute_digest(to_bytes(want["structHash"]))
    assert sign_digest(PrivateKey(to_bytes(case.input["privateKey"])), to_bytes(want["hash"])) == to_bytes(
        want["signature"]
    )


def test_commitment(case: Case) -> None:
    commitment, domain, want = (
        read_commitment(case.input["commitment"]),
        read_domain(case.input["domain"]),
        get_want(case),
    )
    digest = to_bytes(want["digest"])
    assert hash_commitment(commitment, domain) == digest == domain.compute_digest(to_bytes(want["structHash"]))
    assert sign_digest(PrivateKey(to_bytes(case.input["privateKey"])), digest) == to_bytes(want["signature"])
    assert decode_commitment(encode_commitment(commitment)) == commitment


def test_stored_hash(case: Case) -> None:
    found = compute_stored_hash(to_bytes(case.input["digest"]), int(case.input["includedAt"]))
    assert found == to_bytes(get_want(case)["hash"])


def test_withdrawal_claim(case: Case) -> None:
    commitment, form = read_commitment(case.input["commitment"]), case.input["claim"]
    siblings = tuple(read_node(node) for node in form["siblings"])
    claim = WithdrawalClaim(to_bytes(form["asset"]), int(form["index"]), read_withdrawal(form), siblings)
    if case.error:
        with pytest.raises(InvalidProof, match=PROOF_PROBLEMS[case.error]):
            check_withdrawal_claim(claim, commitment)
    else:
        check_withdrawal_claim(claim, commitment)
        assert get_line(commitment, claim.asset)[1] == int(get_want(case)["assetIndex"])


# --- the data exchange


def test_registry_entry(case: Case) -> None:
    entry, want = decode_registry_entry(case.input), get_want(case)
    encoded = encode_entry(entry)
    assert encoded == to_bytes(want["encoded"])
    assert hash_list_leaf(encoded) == to_bytes(want["leaf"])
    assert decode_entry(encoded) == entry
    assert decode_registry_entry(encode_registry_entry(entry)) == entry


def test_registry(case: Case) -> None:
    entries, want = [decode_registry_entry(entry) for entry in case.input["entries"]], get_want(case)
    tree, count = MutableListTree(), len(entries)
    for index, entry in enumerate(entries):
        tree.update([(index, hash_list_leaf(encode_entry(entry)))])
    assert tree.root == to_bytes(want["root"])
    assert compute_extra_root(count, tree.root) == to_bytes(want["extraRoot"])
    for index, proof in enumerate(want["proofs"]):
        siblings = tuple(to_bytes(sibling) for sibling in proof)
        assert tuple(tree.prove(index)) == siblings
        check_registry_proof(RegistryProof(entries[index], index, count, siblings), to_bytes(want["extraRoot"]))


def test_registry_proof(case: Case) -> None:
    form, extra_root = case.input, to_bytes(case.input["extraRoot"])
    siblings = tuple(to_bytes(sibling) for sibling in form["siblings"])
    proof = RegistryProof(decode_registry_entry(form["entry"]), int(form["index"]), int(form["count"]), siblings)
    if case.error:
        with pytest.raises(InvalidProof, match=PROOF_PROBLEMS[case.error]):
            check_registry_proof(proof, extra_root)
    else:
        check_registry_proof(proof, extra_root)
        assert extra_root == to_bytes(get_want(case)["extraRoot"])


def test_shares(case: Case) -> None:
    form = case.input
    file = File(
        id=ZERO_HASH,
        validator=to_bytes(form["validator"]),
        owner=to_bytes(form["owner"]),
        asset=ZERO_ADDRESS,
        price=int(form["price"]),
        size=1,
        storage_days=1,
        keep_until=0,
        service_node=ZERO_ADDRESS if form["serviceNode"] is None else to_bytes(form["serviceNode"]),
        listing=ZERO_HASH,
    )
    market = read_market({**form["market"], "storageRates": []})
    market.check()
    shares = compute_shares(file, market)
    assert shares == [(to_bytes(output["to"]), int(output["amount"])) for output in get_want(case)["outputs"]]
    assert sum(amount for _, amount in shares) == file.price


def test_storage_charge(case: Case) -> None:
    size, days, want = int(case.input["size"]), int(case.input["days"]), get_want(case)
    market = Market(storage_rates=((ZERO_ADDRESS, int(case.input["rate"])),))
    market.check()
    assert compute_daily_charge(size, ZERO_ADDRESS, market) == int(want["daily"])
    assert compute_storage_charge(size, days, ZERO_ADDRESS, market) == int(want["total"])


# --- nonces, whole ledgers


def test_nonce_window(case: Case) -> None:
    window, nonce = NonceWindow(int(case.input["base"]), int(case.input["map"])), int(case.input["nonce"])
    if case.error:
        assert case.error == ("nonce_used" if window.is_used(nonce) else "nonce_too_far")
        assert window.is_used(nonce) or nonce >= window.limit
        return
    want = get_want(case)
    assert not window.is_used(nonce)
    assert nonce < window.limit
    after = window.use(nonce)
    assert after == NonceWindow(int(want["base"]), int(want["map"]))
    assert after.is_used(nonce)
    assert after.next_nonce == int(want["nextNonce"])
    assert after.covers(window)
    assert not window.covers(after)


def test_ledger(case: Case) -> None:
    form, want = case.input["parameters"], get_want(case)
    addresses = to_bytes(form["settlement"]), to_bytes(form["nativeAsset"])
    market = read_market(form["market"])
    ledger = Ledger(Parameters(int(form["l1ChainId"]), *addresses, int(form["deployedAt"]), market), is_auditing=True)
    blocks, epochs = iter(want["blocks"]), iter(want["epochs"])
    leaves: dict[tuple[bytes, int], bytes] = {}
    entries: dict[int, bytes] = {}
    for step in case.input["steps"]:
        if "listAsset" in step:
            ledger.list_asset(to_bytes(step["listAsset"]))
        elif "block" in step:
            replay_block(ledger, step["block"], next(blocks))
        else:
            sealed = ledger.cut(int(step["cut"]["epoch"]), int(step["cut"]["cutAt"]))
            for change in sealed.changes:
                leaves |= {(change.asset, index): leaf for index, leaf in change.leaves}
            entries |= dict(sealed.registry.leaves)
            epoch = next(epochs)
            assert sealed.commitment == read_commitment(epoch["commitment"])
            assert hash_commitment(sealed.commitment, ledger.state.parameters.domain) == to_bytes(epoch["digest"])
            for line, expected in zip(sealed.commitment.assets, epoch["leaves"], strict=True):
                found = [leaves[line.asset, index] for index in range(line.account_count)]
                assert found == [to_bytes(leaf) for leaf in expected]
            found = [entries[index] for index in range(sealed.registry.count)]
            assert found == [to_bytes(entry) for entry in epoch["entries"]]
            assert ledger.extra_root == sealed.commitment.extra_root
    assert list(blocks) == list(epochs) == []


def replay_block(ledger: Ledger, form: dict[str, Any], want: dict[str, Any]) -> None:
    """Builds the block from its records as the interface shows them, and compares header, hash and journal's bytes."""
    records = [decode_record(record) for record in form["records"]]
    header = Header(
        number=ledger.state.block_number + 1,
        previous=ledger.state.block_hash,
        timestamp=int(form["timestamp"]),
        records_root=build_records_tree(records).root,
        record_count=len(records),
    )
    assert header == read_header(want["header"])
    journal = encode_block(header, [encode_record(record) for record in records])
    assert journal == to_bytes(want["journal"])
    assert decode_block(journal) == Block(header, tuple(records))
    assert ledger.apply_block(Block(header, tuple(records))) == to_bytes(want["hash"])


# --- reading


def get_want(case: Case) -> dict[str, Any]:
    assert case.want is not None
    return case.want


def read_node(form: dict[str, str]) -> SumNode:
    return to_bytes(form["hash"]), int(form["sum"])


def read_withdrawal(form: dict[str, Any]) -> Withdrawal:
    return Withdrawal(to_bytes(form["id"]), to_bytes(form["recipient"]), int(form["amount"]))


def read_leaf(form: dict[str, str]) -> AccountLeaf:
    return AccountLeaf(
        asset=to_bytes(form["asset"]),
        owner=to_bytes(form["owner"]),
        epoch=int(form["epoch"]),
        nonces=NonceWindow(int(form["nonceBase"]), int(form["nonceMap"])),
        opening=int(form["opening"]),
        debits=int(form["debits"]),
        credits=int(form["credits"]),
        debit_count=int(form["debitCount"]),
        credit_count=int(form["creditCount"]),
        debits_root=to_bytes(form["debitsRoot"]),
        credits_root=to_bytes(form["creditsRoot"]),
    )


def read_domain(form: dict[str, str]) -> Domain:
    return Domain(int(form["chainId"]), to_bytes(form["verifyingContract"]))


def read_market(form: dict[str, Any]) -> Market:
    return Market(
        validator_share=int(form["validatorShare"]),
        owner_share=int(form["ownerShare"]),
        commission=int(form["commission"]),
        storage_rates=tuple((to_bytes(rate["asset"]), int(rate["rate"])) for rate in form["storageRates"]),
    )


def read_payment(form: dict[str, Any]) -> Payment:
    return Payment(
        asset=to_bytes(form["asset"]),
        payer=to_bytes(form["from"]),
        nonce=int(form["nonce"]),
        valid_until=int(form["validUntil"]),
        kind=form["kind"],
        reference=to_bytes(form["reference"]),
        memo=form["memo"],
        outputs=tuple(Output(to_bytes(output["to"]), int(output["amount"])) for output in form["outputs"]),
    )


def read_header(form: dict[str, str]) -> Header:
    return Header(
        number=int(form["number"]),
        previous=to_bytes(form["previous"]),
        timestamp=int(form["timestamp"]),
        records_root=to_bytes(form["recordsRoot"]),
        record_count=int(form["recordCount"]),
    )


def read_commitment(form: dict[str, Any]) -> Commitment:
    return Commitment(
        epoch=int(form["epoch"]),
        previous=to_bytes(form["previous"]),
        first_block=int(form["firstBlock"]),
        last_block=int(form["lastBlock"]),
        cut_at=int(form["cutAt"]),
        blocks_root=to_bytes(form["blocksRoot"]),
        extra_root=to_bytes(form["extraRoot"]),
        assets=tuple(read_line(line) for line in form["assets"]),
    )


def read_line(form: dict[str, str]) -> AssetCommitment:
    return AssetCommitment(
        asset=to_bytes(form["asset"]),
        state_root=to_bytes(form["stateRoot"]),
        total=int(form["total"]),
        account_count=int(form["accountCount"]),
        deposit_count=int(form["depositCount"]),
        forced_count=int(form["forcedCount"]),
        withdrawals_root=to_bytes(form["withdrawalsRoot"]),
        withdrawal_count=int(form["withdrawalCount"]),
        withdrawn=int(form["withdrawn"]),
    )
