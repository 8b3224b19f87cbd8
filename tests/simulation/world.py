"""A whole world from one seed: an Ethereum, endpoints on it, our node, and the weather; and what must hold in it."""

import asyncio
import heapq
import random
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from chain.commitment import NO_COMMITMENT, hash_commitment
from chain.hashing import keccak
from chain.params import Domain
from chain.primitives import Address
from chain.signatures import compute_address
from node.ethereum.commit_decision import DAY_MS, ORDINARY, CommitterSettings
from node.ethereum.endpoints import Endpoints
from node.ethereum.l1 import Deployment
from node.ethereum.submission import AttemptOutcome
from node.ethereum.watcher import WatcherSettings
from tests.simulation.chain import GWEI, Chain, Receipt, Transaction
from tests.simulation.endpoint import SimulatedEndpoint, Trouble
from tests.simulation.node import OPERATOR, Fate, Node
from tests.simulation.settlement import AdvanceFinalEpoch, Commit, Deposit, ListAsset, State, Terms
from tests.simulation.weather import CALM, Danger, Hour, draw_hour
from tests.unit.node.ethereum.simulated import L1_CHAIN_ID, SETTLEMENT, START_S, TOKEN

HOUR = 3600
ETHER_WEI = 10**18
LATER_TOKEN: Address = b"\xbb" * 20
MAX_ORDINARY_WAIT = HOUR
"""Seconds that an epoch may wait while the node is up and calls the situation ordinary. A fee that is raised by an
eighth every 48 s or four blocks is at the cap long before."""
MAX_REVERTED = 6
"""Transactions of ours for one epoch: some ran out of gas, each with twice the gas of the one before; in some blocks a
stranger's was first; and the contract may refuse, for a reason that was not there when it was asked."""
QUIET_BOUND = 30 * HOUR
"""Seconds of good weather after which all that was sealed must be in: a day, if the budget was used up and a bit."""


class Failed(AssertionError):
    """Something that must hold does not."""


class World:
    def __init__(self, seed: int, directory: Path) -> None:
        self.seed = seed
        self.hour = 0
        self._chance = random.Random(f"world {seed}")
        self._weather = random.Random(f"weather {seed}")
        self._loop = asyncio.get_running_loop()
        domain = Domain.of(L1_CHAIN_ID, SETTLEMENT)
        operator = compute_address(OPERATOR.public_key)
        self.terms = Terms(domain, operator, 1800, 7 * 24 * HOUR, 24 * HOUR, START_S)
        state = State(assets=((TOKEN, START_S),), deposits=((),), balance=10 * ETHER_WEI)
        self.chain = Chain(self.terms, state, random.Random(f"chain {seed}"))
        self.fate = Fate()
        self.endpoints = [
            SimulatedEndpoint(
                f"l1-{number}",
                self.chain,
                random.Random(f"endpoint {number} {seed}"),
                SETTLEMENT,
                L1_CHAIN_ID,
                self.advance,
                self.fate.step,
                self._see_raw,
            )
            for number in range(self._chance.choice((1, 2, 3, 3, 3)))
        ]
        self.clock_skew_ms = 0
        self.settings = CommitterSettings(
            confirmations=self._chance.choice((None, 65, 100)),
            max_fee_wei=self._chance.choice((100, 200, 400)) * GWEI,
            daily_budget_wei=self._chance.choice((5 * 10**17, 10**17, 4 * 10**16)),
            log_range=self._chance.choice((20, 2_000)),
        )
        self.node = Node(
            self._make_transport,
            self._make_deployment(operator),
            self.settings,
            WatcherSettings(self.settings.confirmations, log_range=self._chance.choice((50, 2_000)), batch_size=2),
            directory / "ethereum.sqlite",
            self.clock,
            self.fate,
            self._observe,
        )
        self.node.journal.now = lambda: self.now
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._event_numbers = count()
        self._hashes = count()
        self._is_file_lost = False
        # What the audit remembers.
        self.seen: dict[bytes, Transaction] = {}
        """Every transaction of ours that ever reached an endpoint."""
        self.upsets: list[float] = []
        """When our nonce moved in a way that we could not know of: reorganisations, foreign transactions."""
        self.situations: Counter[str] = Counter()
        self._ordinary_since: tuple[int, float] | None = None
        """(epoch that waits, since when the situation has been an ordinary one)"""
        self.longest_ordinary = 0.0
        self._due_since: float | None = None
        """Since when an epoch should be cut, and is not, and the epoch keeper names no obstacle."""

    def _make_deployment(self, operator: Address) -> Deployment:
        terms = self.terms
        return Deployment(
            l1_chain_id=L1_CHAIN_ID,
            settlement=SETTLEMENT,
            ledger_chain_id=terms.domain.chain_id,
            domain_separator=terms.domain.separator,
            operator=operator,
            cold_key=b"\x0b" * 20,
            listing_key=b"\x0c" * 20,
            native_asset=TOKEN,
            challenge_period=terms.challenge_period,
            answer_period=10,
            follow_up=10,
            min_interval=terms.min_interval,
            max_silence=terms.max_silence,
            listing_delay=HOUR,
            deployed_at=terms.deployed_at,
        )

    def _make_transport(self) -> Endpoints:
        return Endpoints(self.endpoints, L1_CHAIN_ID, SETTLEMENT, clock=self.clock)

    # ------------------------------------------------------------------------------------------------------------ time

    @property
    def now(self) -> float:
        """Unix seconds: the true time."""
        return START_S + self._loop.time()

    def clock(self) -> int:
        """Milliseconds: what our node takes for the time."""
        return int(self.now * 1000) + self.clock_skew_ms

    def advance(self) -> None:
        """Brings the chain up to now."""
        now, chain, events = self.now, self.chain, self._events
        while True:
            event_at = events[0][0] if events else now + 1
            if min(event_at, chain.next_at) > now:
                return
            if event_at <= chain.next_at:
                heapq.heappop(events)[2]()
            else:
                chain.mine()

    def at(self, seconds: float, event: Callable[[], None]) -> None:
        """It happens so many seconds from now."""
        heapq.heappush(self._events, (self.now + seconds, next(self._event_numbers), event))

    # ------------------------------------------------------------------------------------------------------------- runs

    async def run(self, hours: int) -> None:
        """Weather for so many hours, then calm until all is in, then a few hours more. Raises `Failed`."""
        living = self._loop.create_task(self.node.run())
        try:
            is_rough = True
            while self.hour < hours:
                if self.hour % 12 == 0:
                    is_rough = self._weather.random() < 0.5
                await self._run_hour(draw_hour(self._weather, is_rough), living)
            await self._calm_down(living)
            self._check_memory()
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)
        self.check_end()

    async def _run_hour(self, hour: Hour, living: "asyncio.Task[None]") -> None:
        self.hour += 1
        self._begin_hour(hour)
        await self._wait(HOUR, living)

    async def _wait(self, seconds: float, living: "asyncio.Task[None]") -> None:
        until = self._loop.time() + seconds
        while (left := until - self._loop.time()) > 0:
            await asyncio.wait([living], timeout=left)
            if living.done():
                living.result()
                raise Failed("the node ended")
        self.advance()

    async def _calm_down(self, living: "asyncio.Task[None]") -> None:
        """Without a restart: what is wrong must clear by itself."""
        self._begin_hour(CALM)
        self.clock_skew_ms = 0
        self.fate.steps_left = None
        self.node.down_seconds = lambda: 1.0
        lives = self.node.life_count + self.fate.is_dead
        began = self.now
        seals = self.node.journal.seals
        target = len(seals) + 2
        while self.chain.top.state.epoch < max(target, len(seals)):
            if self.node.committer is None:
                began = self.now  # off for long, since before the calm
            elif self.now - began > QUIET_BOUND:
                raise Failed(
                    f"{self.chain.top.state.epoch} of {max(target, len(seals))} epochs are in after {QUIET_BOUND} s "
                    f"of calm: {self.describe()}"
                )
            if len(seals) < target:
                self._draw_deposits()
                self.node.journal.epoch_records += 1
            await self._wait(HOUR, living)
        if self.node.life_count > max(lives, 1) + 1:
            raise Failed("the node died in calm weather")

    # ---------------------------------------------------------------------------------------------------------- weather

    def _begin_hour(self, hour: Hour) -> None:
        chance, chain = self._chance, self.chain
        self.advance()
        self._calm_chain()
        if chain.top.state.balance < ETHER_WEI:
            chain.change_balance(10 * ETHER_WEI)
        for endpoint in self.endpoints:
            endpoint.trouble = Trouble()
        for danger, severity in hour.dangers.items():
            self._bring(danger, severity)
        if chance.random() < 0.9:
            self.node.journal.epoch_records += 1
        self._draw_deposits()
        if chance.random() < 0.2:
            self.at(chance.random() * HOUR, lambda: self._put(AdvanceFinalEpoch()))
        if len(chain.top.state.assets) == 1 and chance.random() < 0.02:
            self.at(chance.random() * HOUR, lambda: self._put(ListAsset(LATER_TOKEN, HOUR)))

    def _draw_deposits(self) -> None:
        for _ in range(self._chance.choice((0, 0, 1, 1, 2, 5))):
            index = self._chance.randrange(len(self.chain.top.state.assets))
            deposit = Deposit(index, self._chance.randbytes(20), self._chance.randint(1, 10**18))
            self.at(self._chance.random() * HOUR, lambda deposit=deposit: self._put_deposit(deposit))

    def _put_deposit(self, deposit: Deposit) -> None:
        if self.chain.top.state.assets[deposit.asset_index][1] <= self.now:
            self._put(deposit)

    def _put(self, call: Any) -> None:
        """Somebody else's transaction."""
        l1_hash = keccak(b"other %d" % next(self._hashes))
        self.chain.pool.put(Transaction(l1_hash, call))

    def _calm_chain(self) -> None:
        chain = self.chain
        chain.is_paused = chain.is_finality_paused = chain.is_reverting = False
        chain.demand = int(self._chance.uniform(1, 20) * GWEI)
        chain.inclusion = 0.95
        chain.least_tip = GWEI // 100
        self.node.down_seconds = lambda: 5.0
        self.node.is_file_lost = self._take_file_loss

    def _take_file_loss(self) -> bool:
        is_lost, self._is_file_lost = self._is_file_lost, False
        return is_lost

    def _draw_moment(self) -> float:
        """Seconds into the hour. An epoch is cut in the first minute, so most of what can go wrong goes wrong soon."""
        return self._chance.random() * (240 if self._chance.random() < 0.6 else HOUR)

    def _pick(self) -> Trouble:
        return self._chance.choice(self.endpoints).trouble

    def _bring(self, danger: Danger, severity: float) -> None:
        """For this hour; what is an event, somewhere in it."""
        chance, chain, moment = self._chance, self.chain, self._draw_moment()
        all_of_them = [endpoint.trouble for endpoint in self.endpoints]
        some = all_of_them if chance.random() < 0.5 else [chance.choice(all_of_them)]
        match danger:
            case Danger.LOST:
                for trouble in some:
                    trouble.lost_before, trouble.lost_after = severity * 0.3, severity * 0.3
            case Danger.SLOW:
                for trouble in some:
                    trouble.slow, trouble.slowness = severity * 0.5, chance.choice((0.3, 2, 9, 10))
            case Danger.ERRORS:
                for trouble in some:
                    trouble.error = severity * 0.6
            case Danger.MALFORMED:
                for trouble in some:
                    trouble.malformed = severity * 0.5
            case Danger.DUPLICATES:
                for trouble in some:
                    trouble.duplicate = severity
            case Danger.DEAD:
                self._pick().lost_before = 1.0
            case Danger.LAG:
                for trouble in some:
                    trouble.lag = int(severity * 100)
            case Danger.FLAPPING:
                for trouble in some:
                    trouble.lag, trouble.is_flapping = 1 + int(severity * 20), True
            case Danger.FROZEN:
                trouble = self._pick()
                self.at(moment, lambda: setattr(trouble, "frozen", chain.branch.copy()))
            case Danger.WRONG_CHAIN:
                trouble = self._pick()
                self.at(moment, lambda: setattr(trouble, "is_wrong_chain", True))
            case Danger.LYING:
                if len(self.endpoints) >= 3:
                    self._pick().is_lying = True
            case Danger.NOT_GOSSIPED:
                for trouble in some:
                    trouble.is_not_gossiping = True
            case Danger.RECEIPTS:
                for trouble in some:
                    trouble.vanishing = severity
            case Danger.ESTIMATES:
                for trouble in some:
                    trouble.estimate = 0.9 - severity * 0.5
            case Danger.REORGANISATION:
                for _ in range(1 + int(severity * 4)):
                    depth = 1 + int(chance.random() ** 3 * 64)
                    fate = chance.choice(("kept", "pool", "lost"))
                    self.at(self._draw_moment(), lambda depth=depth, fate=fate: self._reorganise(depth, fate))
            case Danger.PAUSE:
                length = severity * HOUR
                self.at(moment, lambda: setattr(chain, "is_paused", True))
                self.at(moment + length, lambda: setattr(chain, "is_paused", False))
            case Danger.FINALITY:
                chain.is_finality_paused = True
            case Danger.SPIKE:
                chain.demand = int(chain.demand * 10 ** (1 + severity))
            case Danger.FULL:
                chain.inclusion = 0.6 * (1 - severity)
            case Danger.FORGETFUL:
                for _ in range(1 + int(severity * 30)):
                    self.at(self._draw_moment(), chain.pool.ours.clear)
            case Danger.TIP_FLOOR:
                floor = int(severity * 20 * GWEI)
                chain.least_tip = floor
                for trouble in some:
                    trouble.least_tip = floor
            case Danger.FOREIGN_MINED:
                self.at(moment, lambda: self._put_foreign(0, 10**4 * GWEI, 500 * GWEI))
            case Danger.FOREIGN_STUCK:
                fee = chance.randint(1, max(2, int(1.2 * self.settings.max_fee_wei)))
                self.at(moment, lambda: self._put_foreign(0, fee, min(fee, GWEI)))
            case Danger.GAP:
                ahead = chance.randint(1, 3)
                self.at(moment, lambda: self._put_foreign(ahead, 100 * GWEI, GWEI))
            case Danger.STRANGER:
                for _ in range(1 + int(severity * 5)):
                    self.at(self._draw_moment(), self._submit_as_stranger)
            case Danger.FUNDS:
                self.at(moment, lambda: chain.change_balance(int(severity * 10**15)))
                self.at(moment + HOUR / 2, lambda: chain.change_balance(10 * ETHER_WEI))
            case Danger.REVERTING:
                self.at(moment, lambda: setattr(chain, "is_reverting", True))
            case Danger.CLOCK:
                self.at(moment, lambda: self._jump(chance.uniform(-1, 1) * severity * 3 * HOUR))
                self.at(moment + HOUR * chance.random(), lambda: self._jump(0))
            case Danger.CRASH:
                self.fate.steps_left = chance.randint(1, 200)
                self.node.down_seconds = lambda: chance.choice((1, 60, 1000))
            case Danger.CRASHES:
                self.node.down_seconds = self._die_soon_again
                self.fate.steps_left = chance.randint(1, 50)
            case Danger.DOWNTIME:
                self.fate.steps_left = 1
                self.node.down_seconds = lambda: (1 + severity * 60) * HOUR
            case Danger.FILE_LOST:
                self._is_file_lost = True
                self.fate.steps_left = chance.randint(1, 100)

    def _reorganise(self, depth: int, fate: str) -> None:
        if self.chain.reorganise(depth, int(self.now), fate):
            self.upsets.append(self.now)

    def _put_foreign(self, ahead: int, max_fee: int, priority_fee: int) -> None:
        """With the key of our account, but not by our node. In the pool, it replaces what is there."""
        nonce = self.chain.top.state.nonce + ahead
        l1_hash = keccak(b"foreign %d" % next(self._hashes))
        self.chain.pool.put(Transaction(l1_hash, None, nonce, 21_000, max_fee, priority_fee))
        self.upsets.append(self.now)

    def _submit_as_stranger(self) -> None:
        seals = self.node.journal.seals
        if seals:
            position = self._chance.choice((len(seals) - 1, self._chance.randrange(len(seals))))
            previous = seals[position - 1][0] if position else NO_COMMITMENT
            self._put(Commit(previous, *seals[position]))

    def _jump(self, seconds: float) -> None:
        self.clock_skew_ms = int(seconds * 1000)

    def _die_soon_again(self) -> float:
        self.fate.steps_left = self._chance.randint(1, 60)
        return self._chance.choice((10, 100, 300))

    # ------------------------------------------------------------------------------------------------- what must hold

    def _see_raw(self, raw: bytes, transaction: Transaction) -> None:
        """A transaction of ours has reached an endpoint."""
        if transaction.hash in self.seen:
            return
        self.seen[transaction.hash] = transaction
        if not self.node.is_stored(raw):
            raise Failed("a transaction was sent before it was written down")
        if transaction.max_fee > self.settings.max_fee_wei:
            raise Failed(f"{transaction.max_fee} wei per gas were offered")
        known = self._find_known_nonce()
        assert transaction.nonce is not None
        if transaction.nonce < known:
            raise Failed(f"nonce {transaction.nonce} was signed, {known} is known to be next")

    def _find_known_nonce(self) -> int:
        """The next nonce, as far as our node knows of transactions of its own in blocks that stay."""
        committer, chain = self.node.committer, self.chain
        if committer is None:
            return 0
        status = committer.get_epoch(committer.mined_epoch)
        known = 0
        for attempt in () if status is None else status.attempts:
            place = chain.branch.places.get(attempt.hash)
            if attempt.outcome is not None and place is not None and place <= chain.floor_number:
                known = max(known, attempt.nonce + 1)
        return known

    def _observe(self, node: Node) -> None:
        """After each look of the committer."""
        committer = node.committer
        assert committer is not None
        situation = committer.status()["state"]
        self.situations[situation] += 1
        self._observe_cut(node)
        mined, sealed = self.chain.top.state.epoch, len(node.journal.seals)
        waits = mined < sealed and self.now - node.journal.sealed_at[mined] > 0
        if not waits or situation not in ORDINARY:
            self._ordinary_since = None
            return
        since = self._ordinary_since
        if since is None or since[0] != mined + 1 or since[1] < START_S + node.born_at:
            self._ordinary_since = (mined + 1, self.now)
            return
        waited = self.now - since[1]
        self.longest_ordinary = max(self.longest_ordinary, waited)
        if waited > MAX_ORDINARY_WAIT:
            raise Failed(f"epoch {mined + 1} has waited for {waited:.0f} s, in silence: {self.describe()}")

    def _observe_cut(self, node: Node) -> None:
        keeper = node.keeper
        is_due = keeper is not None and node.journal.epoch_records > 0 and self.clock() >= keeper.due_at
        if keeper is None or not is_due or keeper.obstacle is not None:
            self._due_since = None
        elif self._due_since is None or self._due_since < START_S + node.born_at:
            self._due_since = self.now
        elif self.now - self._due_since > HOUR:
            raise Failed(f"an epoch is due since {self._due_since}, and nothing says why: {self.describe()}")

    def check_end(self) -> None:
        self._check_commitments()
        self._check_deposits()
        self._check_costs()
        self._check_reverted()

    def _check_memory(self) -> None:
        """What the committer knows of each epoch is what is on the chain."""
        committer, branch, floor = self.node.committer, self.chain.branch, self.chain.floor_number
        if committer is None:
            raise Failed("the node is down in calm weather")
        for epoch in range(1, committer.mined_epoch + 1):
            status = committer.get_epoch(epoch)
            inclusion = None if status is None else status.inclusion
            if status is None or inclusion is None:
                raise Failed(f"epoch {epoch} is in, and the committer knows nothing of it")
            place = branch.places.get(inclusion.l1_transaction)
            if place != inclusion.l1_block or branch.blocks[place].hash != inclusion.l1_block_hash:
                raise Failed(
                    f"epoch {epoch} is said to be in block {inclusion.l1_block}, its transaction is in {place}"
                )
            for attempt in status.attempts:
                place = branch.places.get(attempt.hash)
                if place is None or place > floor:
                    continue
                receipt = next(r for r in branch.blocks[place].receipts if r.transaction.hash == attempt.hash)
                outcome = AttemptOutcome.INCLUDED if receipt.is_success else AttemptOutcome.REVERTED
                if attempt.outcome is not outcome and place <= floor - 64:
                    raise Failed(f"attempt {attempt.number} for epoch {epoch} is {attempt.outcome}, it was {outcome}")

    def _check_commitments(self) -> None:
        journal, state = self.node.journal, self.chain.top.state
        digests = [hash_commitment(commitment, self.terms.domain) for commitment, _ in journal.seals]
        if [digest for digest, _ in state.commitments] != digests:
            raise Failed(f"{len(digests)} epochs were sealed, {state.epoch} are in, or others: {self.describe()}")

    def _check_deposits(self) -> None:
        """Each one of the queue, once, and from the block where it is."""
        expected: dict[tuple[Address, int], tuple[Any, ...]] = {}
        for block in self.chain.branch.find_busy(0, self.chain.height):
            for receipt in block.receipts:
                call = receipt.transaction.call
                if receipt.is_success and isinstance(call, Deposit):
                    asset = block.state.assets[call.asset_index][0]
                    index = sum(1 for known in expected if known[0] == asset)
                    expected[asset, index] = (call.account, call.amount, block.number, block.hash)
        credited = {
            (deposit.asset, deposit.index): (deposit.account, deposit.amount, deposit.l1_block, deposit.l1_block_hash)
            for deposit in self.node.journal.deposits
        }
        if len(credited) != len(self.node.journal.deposits):
            raise Failed("a deposit was credited twice")
        for key, found in credited.items():
            if expected.get(key) != found:
                raise Failed(f"deposit {key[1]} was credited as {found}, it is {expected.get(key)}")
        for key, (_, _, number, _) in expected.items():
            if key not in credited and number <= self.chain.height - 300:
                raise Failed(f"deposit {key[1]} of block {number} was never credited")

    def list_own(self) -> list[tuple[int, Receipt]]:
        """(block time, receipt) of what our node sent and what was mined, and stayed."""
        return [
            (block.timestamp, receipt)
            for block in self.chain.branch.find_busy(0, self.chain.height)
            for receipt in block.receipts
            if receipt.transaction.is_ours
        ]

    def _check_costs(self) -> None:
        """In no 24 hours more than the budget. What was forgotten with the file is the file's affair."""
        if self.node.losses:
            return
        own = self.list_own()
        window = DAY_MS // 1000
        first, spent = 0, 0
        for timestamp, receipt in own:
            spent += receipt.cost
            while own[first][0] < timestamp - window:
                spent -= own[first][1].cost
                first += 1
            if spent > self.settings.daily_budget_wei:
                raise Failed(f"{spent} wei were spent in {window} s, {self.settings.daily_budget_wei} are allowed")

    def _check_reverted(self) -> None:
        """Two of ours for one epoch are mined only if a reorganisation or a foreign transaction moved it; and few
        are mined for nothing."""
        own = self.list_own()
        reverted = Counter(receipt.transaction.epoch for _, receipt in own if not receipt.is_success)
        for epoch, times in reverted.most_common(1):
            if times > MAX_REVERTED:
                raise Failed(f"for epoch {epoch}, {times} transactions of ours were reverted")
        for timestamp, receipt in own:
            call = receipt.transaction.call
            if receipt.problem != "EpochMismatch" or not isinstance(call, Commit):
                continue
            rivals = [
                (when, other)
                for when, other in own
                if other is not receipt
                and isinstance(other.transaction.call, Commit)
                and other.transaction.call.next.epoch == call.next.epoch
                and other.is_success
            ]
            sealed_at = self.node.journal.sealed_at[call.next.epoch - 1]
            if rivals and not any(sealed_at - HOUR <= upset <= timestamp for upset in self.upsets):
                raise Failed(f"two of ours for epoch {call.next.epoch} were mined, and nothing had moved our nonce")

    def describe(self) -> dict[str, Any]:
        committer, watcher, keeper = self.node.committer, self.node.watcher, self.node.keeper
        state = self.chain.top.state
        return {
            "seed": self.seed,
            "hour": self.hour,
            "now": int(self.now - START_S),
            "l1": (self.chain.height, state.epoch, state.nonce, state.balance, self.chain.top.base_fee),
            "pool": [(t.nonce, t.max_fee, t.priority_fee, t.is_ours) for t in self.chain.pool.ours.values()],
            "cap": self.settings.max_fee_wei,
            "committer": None if committer is None else committer.status(),
            "watcher": None if watcher is None else watcher.status(),
            "obstacle": None if keeper is None else keeper.obstacle,
            "lives": self.node.life_count,
        }

    def count(self) -> Counter[str]:
        """Of what happened."""
        own = self.list_own()
        return Counter(
            {
                "hours": self.hour,
                "l1 blocks": self.chain.height,
                "epochs": self.chain.top.state.epoch,
                "deposits": len(self.node.journal.deposits),
                "transactions": len(self.seen),
                "mined": len(own),
                "reverted": sum(not receipt.is_success for _, receipt in own),
                "rivals": sum(receipt.problem == "EpochMismatch" for _, receipt in own),
                "reorganisations": len(self.chain.reorganisations),
                "restarts": self.node.life_count - 1,
                "looks": sum(self.situations.values()),
                "calls": sum(endpoint.call_count for endpoint in self.endpoints),
                "files lost": self.node.losses,
            }
        )
