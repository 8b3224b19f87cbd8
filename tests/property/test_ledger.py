"""Random histories: State and Ledger beside a naive ledger that keeps every entry and builds every tree anew.

The machine plays a sequencer: it checks and applies payments and deposits to a state, closes blocks, cuts epochs, and
now and then starts again from a snapshot. After every step the money is all there; at every cut the commitment is the
naive one's, every leaf continues the last, every account can be proven; at the end an audit replays the whole journal.
"""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chain.account import AccountLeaf, continues, decode_account_leaf, is_leaf_sound
from chain.block import Header, build_records_tree, decode_block, encode_block, encode_record, make_deposit
from chain.commitment import Commitment, decode_commitment, encode_commitment, hash_commitment
from chain.errors import Refusal
from chain.evidence import AccountProof, build_withdrawal_claim, check_account_proof, check_withdrawal_claim
from chain.ledger import Ledger, SealedEpoch
from chain.merkle import LIST_PADDING, SumNode, compute_depth
from chain.payment import Payment, SignedPayment, check_signed_payment, check_structure, compute_payment_id
from chain.primitives import ZERO_HASH
from chain.registry import RegistryProof, check_registry_proof, decode_entry
from chain.state import State
from chain.transition import (
    apply_block_end,
    apply_cut,
    apply_deposit,
    apply_payment,
    check_cut,
    check_deposit,
    check_payment,
    compute_block_timestamp,
    list_asset,
)
from tests.unit.chain.actors import (
    ALICE,
    BOB,
    CAROL,
    DOMAIN,
    ETHER,
    KEYS,
    OPERATOR,
    PARAMETERS,
    START_MS,
    TOKEN,
    make_payment,
    make_state,
    sign,
)
from tests.vectors import reference

PEOPLE = (ALICE, BOB, CAROL, OPERATOR)
ASSETS = (ETHER, TOKEN, b"\x77" * 20)

people = st.sampled_from(PEOPLE)
assets = st.integers(0, 2)
amounts = st.one_of(st.integers(1, 20), st.integers(1, 2**90))
outputs = st.lists(st.tuples(people, st.integers(0, 3)), min_size=1, max_size=4)


def to_form(payment: Payment) -> dict[str, Any]:
    """As the naive ledger takes it."""
    return {
        "asset": payment.asset,
        "from": payment.payer,
        "nonce": payment.nonce,
        "validUntil": payment.valid_until,
        "kind": payment.kind,
        "reference": payment.reference,
        "memo": payment.memo,
        "outputs": [{"to": output.to, "amount": output.amount} for output in payment.outputs],
    }


class LedgerMachine(RuleBasedStateMachine):
    parameters = PARAMETERS
    market = reference.MARKET
    """The same as the parameters', as the naive ledger takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = START_MS
        self.state = State(self.parameters)
        self.ledger = Ledger(self.parameters)
        domain = reference.make_domain(DOMAIN.chain_id, DOMAIN.verifying_contract)
        self.naive = reference.NaiveLedger(domain, self.market)
        self.pending: list[Any] = []
        self.journal: list[tuple[str, Any]] = []
        self.commitments: list[Commitment] = []
        self.leaves: dict[tuple[bytes, int], list[tuple[int, AccountLeaf]]] = {}
        """(asset, index) → (epoch of the commitment, the leaf in it), for every epoch since it is there"""
        self.nodes: dict[tuple[bytes, int, int], bytes] = {}
        self.entries: dict[int, bytes] = {}
        """Of the registry, by index."""
        self.registry_nodes: dict[tuple[int, int], bytes] = {}
        self.paid: list[Payment] = []
        self.used: set[tuple[bytes, int]] = set()
        self.deposited = dict.fromkeys(ASSETS, 0)
        self.withdrawn = dict.fromkeys(ASSETS, 0)

    # --- what happens

    @initialize()
    def begin(self) -> None:
        """Most people have something, so that most payments pass."""
        for asset in range(2):
            self.list_asset()
            for account in PEOPLE[:3]:
                self.deposit(asset, account, 10**6 + asset)

    @precondition(lambda self: len(self.state.assets) < len(ASSETS))
    @rule()
    def list_asset(self) -> None:
        self.end_block()
        asset = ASSETS[len(self.state.assets)]
        list_asset(self.state, asset)
        self.ledger.list_asset(asset)
        self.naive.list_asset(asset)
        self.journal.append(("asset", asset))

    @rule(asset=assets, account=people, amount=amounts)
    def deposit(self, asset: int, account: bytes, amount: int) -> None:
        chosen = self.state.assets[asset % len(self.state.assets)]
        index = self.state.deposit_counts[chosen]
        record = make_deposit(chosen, index, account, amount, 1, ZERO_HASH, ZERO_HASH)
        check_deposit(self.state, record)
        apply_deposit(self.state, record)
        assert self.naive.deposit(chosen, account, amount, self.open_block, len(self.pending)) == record.id
        self.deposited[chosen] += amount
        self.pending.append(record)

    @rule(
        payer=people,
        asset=assets,
        ahead=st.one_of(st.just(0), st.integers(0, 6), st.integers(250, 255)),
        kind=st.sampled_from(["transfer", "tip", "withdraw"]),
        shares=outputs,
    )
    def pay(self, payer: bytes, asset: int, ahead: int, kind: str, shares: list[tuple[bytes, int]]) -> None:
        """Splits a part of the balance by `shares`, on the nonce `ahead` of the base or the next free one below."""
        nonce = self.find_nonce(payer, ahead)
        chosen = self.state.assets[asset % len(self.state.assets)]
        unit = max(1, self.state.get_balance(chosen, payer) // 13)
        shares = shares if kind == "transfer" else shares[:1]
        self.submit(
            make_payment(
                *[(to, unit * share or 1) for to, share in shares], asset=chosen, payer=payer, nonce=nonce, kind=kind
            )
        )

    @rule(payer=people, to=people, count=st.integers(2, 9), is_descending=st.booleans())
    def pay_many(self, payer: bytes, to: bytes, count: int, is_descending: bool) -> None:
        """A burst on the next nonces; the other way round, all of them wait for the last."""
        base = self.state.get_nonces(payer).base
        nonces = range(base, base + count)
        for nonce in reversed(nonces) if is_descending else nonces:
            self.submit(make_payment((to, 1), payer=payer, nonce=nonce))

    @rule(
        payer=people,
        to=people,
        fault=st.sampled_from(["asset", "expired", "used", "far", "outputs", "balance", "just valid", "just inside"]),
    )
    def pay_at_the_edge(self, payer: bytes, to: bytes, fault: str) -> None:
        """One thing is wrong, or nearly."""
        window, balance = self.state.get_nonces(payer), self.state.get_balance(TOKEN, payer)
        fields: dict[str, Any] = {"payer": payer, "nonce": window.base}
        outputs = [(to, 1)]
        if fault == "asset":
            fields["asset"] = b"\x99" * 20
        elif fault in ("expired", "just valid"):
            fields["valid_until"] = self.timestamp // 1000 - (fault == "expired")
        elif fault == "used":
            fields["nonce"] = max(0, window.next_nonce - 1)
        elif fault in ("far", "just inside"):
            fields["nonce"] = window.limit - (fault == "just inside")
        elif fault == "outputs":
            fields["kind"], outputs = "withdraw", [(to, 1), (to, 1)]
        else:
            outputs = [(to, balance), (to, 1)]
        self.submit(make_payment(*outputs, **fields))

    @precondition(lambda self: self.paid)
    @rule(data=st.data())
    def pay_again(self, data: st.DataObject) -> None:
        payment = data.draw(st.sampled_from(self.paid))
        before = self.state.compute_fingerprint()
        try:
            check_payment(self.state, payment, START_MS)
        except Refusal as refusal:
            assert refusal.code == "nonce_used"
        else:
            raise AssertionError("a payment passed twice")
        assert self.state.compute_fingerprint() == before

    @rule()
    def end_block(self) -> None:
        if not self.pending:
            return
        records = tuple(self.pending)
        header = Header(
            number=self.open_block,
            previous=self.state.block_hash,
            timestamp=self.timestamp,
            records_root=build_records_tree(records).root,
            record_count=len(records),
        )
        data = encode_block(header, [encode_record(record) for record in records])
        block_hash = self.ledger.apply_block(decode_block(data))
        apply_block_end(self.state, header.number, block_hash, header.timestamp)
        form = {"number": header.number, "previous": header.previous, "timestamp": header.timestamp}
        assert (
            self.naive.end_block({**form, "recordsRoot": header.records_root, "recordCount": len(records)})
            == block_hash
        )
        self.journal.append(("block", data))
        self.pending.clear()

    @rule(wait_ms=st.integers(0, 3000))
    def wait(self, wait_ms: int) -> None:
        self.end_block()
        self.clock += wait_ms

    @rule(is_restarting=st.booleans())
    def cut(self, is_restarting: bool) -> None:
        self.end_block()
        cut_at = max(self.clock, self.state.timestamp, self.state.last_cut_at + 1)
        epoch = self.state.epoch
        check_cut(self.state, epoch, cut_at)
        apply_cut(self.state, cut_at)
        sealed = self.ledger.cut(epoch, cut_at)
        self.journal.append(("cut", (epoch, cut_at)))
        self.check_epoch(sealed, self.naive.cut(cut_at))
        assert self.ledger.state.compute_fingerprint() == self.state.compute_fingerprint()
        if is_restarting:
            self.ledger = Ledger.restore(self.parameters, self.ledger.take_snapshot())
            assert self.ledger.extra_root == sealed.commitment.extra_root
            assert self.ledger.state.compute_fingerprint() == self.state.compute_fingerprint()

    def teardown(self) -> None:
        """Whatever happened, an audit of the journal finds the same."""
        if not self.state.assets:
            return
        self.cut(is_restarting=False)
        audit = Ledger(self.parameters, is_auditing=True)
        commitments = []
        for what, value in self.journal:
            if what == "asset":
                audit.list_asset(value)
            elif what == "block":
                audit.apply_block(decode_block(value))
            else:
                commitments.append(audit.cut(*value).commitment)
        assert commitments == self.commitments
        assert audit.state.compute_fingerprint() == self.state.compute_fingerprint()

    # --- what holds

    @invariant()
    def money_is_conserved(self) -> None:
        for asset in self.state.assets:
            balances = self.state.balances[asset]
            assert all(balance >= 0 for balance in balances.values())
            expected = self.deposited[asset] - self.withdrawn[asset]
            assert sum(balances.values()) == self.state.totals[asset] == expected

    def submit(self, payment: Payment) -> None:
        """It passes exactly when the naive ledger has nothing against it; else it is refused for what that names, and
        nothing changes."""
        before, expected = self.state.compute_fingerprint(), self.name_refusal(payment)
        try:
            check_structure(payment)
            signed = check_signed_payment(payment, sign(payment).signature, DOMAIN)
            check_payment(self.state, payment, self.timestamp)
        except Refusal as refusal:
            assert refusal.code == expected
            assert self.state.compute_fingerprint() == before
            return
        assert expected is None
        self.enter_payment(signed)

    def enter_payment(self, signed: SignedPayment) -> None:
        """After it was checked."""
        payment, form = signed.payment, to_form(signed.payment)
        self.use_nonce(payment.payer, payment.nonce)
        apply_payment(self.state, signed, self.timestamp)
        assert self.naive.pay(form, self.open_block, len(self.pending), self.timestamp) == signed.id
        if payment.kind == "withdraw":
            self.withdrawn[payment.asset] += payment.total
        self.paid.append(payment)
        self.pending.append(signed)

    def use_nonce(self, account: bytes, nonce: int) -> None:
        assert (account, nonce) not in self.used
        self.used.add((account, nonce))

    def find_nonce(self, account: bytes, ahead: int) -> int:
        """The one `ahead` of the base, or the next free one below."""
        window = self.state.get_nonces(account)
        return next(nonce for nonce in range(window.base + ahead, -1, -1) if not window.is_used(nonce))

    def name_refusal(self, payment: Payment) -> str | None:
        """What the naive ledger has against it."""
        if not all(output.amount for output in payment.outputs):
            return "zero_amount"
        if payment.asset not in self.naive.assets:
            return "unknown_asset"
        window = self.naive.nonces.get(payment.payer, (0, set[int]()))
        return (
            self.name_untimely(payment.valid_until, payment.nonce, window)
            or self.naive.exchange.name_refusal_of_payment(to_form(payment), self.timestamp)
            or self.name_unpaid(payment)
        )

    def name_untimely(self, valid_until: int, nonce: int, window: tuple[int, set[int]]) -> str | None:
        base, used = window
        if valid_until and self.timestamp > valid_until * 1000:
            return "expired"
        if nonce < base or nonce in used:
            return "nonce_used"
        return "nonce_too_far" if nonce >= base + 256 else None

    def name_unpaid(self, payment: Payment) -> str | None:
        """No account moves so much in these histories that an epoch is too small for it."""
        balance = self.naive.balance(payment.asset, payment.payer)
        return "insufficient_balance" if balance < payment.total else None

    def check_epoch(self, sealed: SealedEpoch, expected: dict[str, Any]) -> None:
        commitment = sealed.commitment
        assert hash_commitment(commitment, DOMAIN) == reference.digest("Commitment", expected, self.naive.domain)
        assert decode_commitment(encode_commitment(commitment)) == commitment
        self.commitments.append(commitment)
        self.check_registry(sealed)
        for changes, line in zip(sealed.changes, commitment.assets, strict=True):
            asset = changes.asset
            self.nodes |= {(asset, level, at): node for level, at, node in changes.nodes}
            current = {
                index: self.leaves[asset, index][-1][1]
                for index in range(line.account_count)
                if (asset, index) in self.leaves
            }
            current |= {index: decode_account_leaf(leaf) for index, leaf in changes.leaves}
            owners = [current[index].owner for index in range(line.account_count)]
            assert owners == self.naive.order[asset]
            assert len(set(owners)) == len(owners)
            for index, leaf in current.items():
                self.check_leaf(commitment, index, leaf)
            for index in range(len(changes.withdrawals)):
                check_withdrawal_claim(build_withdrawal_claim(asset, changes.withdrawals, index), commitment)

    def check_registry(self, sealed: SealedEpoch) -> None:
        """Every entry is what the naive exchange has, and proven from what each epoch said that it wrote."""
        registry, extra_root = sealed.registry, sealed.commitment.extra_root
        self.entries |= dict(registry.leaves)
        self.registry_nodes |= {(level, at): node for level, at, node in registry.nodes}
        assert list(self.entries) == sorted(self.entries) == list(range(registry.count))
        expected = [reference.entry_bytes(entry) for entry in self.naive.exchange.entries]
        assert list(self.entries.values()) == expected
        for index, entry in self.entries.items():
            places = [(height, index >> height ^ 1) for height in range(compute_depth(registry.count))]
            siblings = tuple(self.registry_nodes.get(place, LIST_PADDING[place[0]]) for place in places)
            check_registry_proof(RegistryProof(decode_entry(entry), index, registry.count, siblings), extra_root)

    def check_leaf(self, commitment: Commitment, index: int, leaf: AccountLeaf) -> None:
        asset, epoch = leaf.asset, commitment.epoch
        assert is_leaf_sound(leaf)
        assert leaf.closing == self.state.get_balance(asset, leaf.owner)
        (count,) = [line.account_count for line in commitment.assets if line.asset == asset]
        check_account_proof(AccountProof(leaf, index, self.prove(asset, index, count)), commitment)
        history = self.leaves.setdefault((asset, index), [])
        for earlier_epoch, earlier in history:
            assert continues(leaf, epoch, earlier, earlier_epoch)
            assert leaf == earlier or not continues(earlier, epoch, leaf, earlier_epoch)
        history.append((epoch, leaf))

    def prove(self, asset: bytes, index: int, count: int) -> tuple[SumNode, ...]:
        """From what each epoch said that it wrote, and nothing else."""
        places = [(asset, height, index >> height ^ 1) for height in range(compute_depth(count))]
        nodes = [self.nodes.get(place, bytes(48)) for place in places]
        return tuple((node[:32], int.from_bytes(node[32:], "big")) for node in nodes)

    @property
    def open_block(self) -> int:
        return self.state.block_number + 1

    @property
    def timestamp(self) -> int:
        return compute_block_timestamp(self.state, self.clock)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=80, stateful_step_count=60)


# --- single rules over all values


@given(st.integers(1, 2**127), st.lists(st.integers(1, 2**127), min_size=1, max_size=16))
def test_paying_oneself_changes_nothing_but_the_nonce(balance: int, parts: list[int]) -> None:
    state = make_state(make_deposit(TOKEN, 0, ALICE, balance, 1, ZERO_HASH, ZERO_HASH))
    payment = make_payment(*[(ALICE, part) for part in parts])
    try:
        check_payment(state, payment, START_MS + 1)
    except Refusal:
        assert payment.total > balance
        return
    apply_payment(state, sign(payment), START_MS + 1)
    assert state.balances[TOKEN] == {ALICE: balance}
    assert state.totals[TOKEN] == balance
    assert state.get_nonces(ALICE).is_used(0)


@given(st.lists(st.tuples(people, people, st.integers(1, 5)), max_size=30), st.randoms())
def test_payments_of_different_payers_in_any_order_end_alike(
    moves: list[tuple[bytes, bytes, int]], random: Any
) -> None:
    """When everybody has enough from the start, order changes no balance, no nonce, no total."""
    funding = [
        make_deposit(TOKEN, index, account, 1000, 1, ZERO_HASH, ZERO_HASH) for index, account in enumerate(PEOPLE)
    ]
    nonces = dict.fromkeys(PEOPLE, 0)
    payments = []
    for payer, to, amount in moves:
        payments.append(make_payment((to, amount), payer=payer, nonce=nonces[payer]))
        nonces[payer] += 1
    results = []
    for _ in range(2):
        state = make_state(*funding)
        for payment in payments:
            check_payment(state, payment, START_MS + 1)
            apply_payment(state, sign(payment), START_MS + 1)
        results.append(state.compute_fingerprint())
        random.shuffle(payments)
    assert results[0] == results[1]


@given(st.data())
def test_no_payment_id_is_shared(data: st.DataObject) -> None:
    """Two payments that differ in anything differ in their id; the payer is part of it."""
    payments = [
        make_payment(
            *data.draw(st.lists(st.tuples(people, st.integers(1, 3)), min_size=1, max_size=3)),
            payer=data.draw(people),
            nonce=data.draw(st.integers(0, 2)),
            memo=data.draw(st.sampled_from(["", "a", "b"])),
        )
        for _ in range(6)
    ]
    assert len({compute_payment_id(payment, DOMAIN) for payment in payments}) == len(set(payments))
    assert set(KEYS) == set(PEOPLE)
