"""A committer before a real client, over a line that a test can spoil, and what must be true of it in the end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from eth_account.signers.local import LocalAccount

from chain.commitment import compute_stored_hash, hash_commitment
from chain.primitives import Hash
from node.ethereum.commit_decision import CommitterSettings
from node.ethereum.committer import Committer
from node.ethereum.endpoints import Endpoints
from node.ethereum.gateway import Gateway
from node.ethereum.l1 import CommittedEvent
from node.ethereum.store import EthereumStore
from node.ethereum.submission import Attempt, AttemptOutcome, EpochState
from tests.integration.ethereum import CHAIN_ID, GAS_ACCOUNT, Anvil, Settled, run_anvil, settle
from tests.integration.line import Line

CONFIRMATIONS = 3
GWEI = 10**9


class Stand:
    """`settled` and `anvil` see the client as it is; the committer sees it over `line`."""

    def __init__(self, settled: Settled, directory: Path) -> None:
        self.settled = settled
        self.anvil = settled.anvil
        self.line = Line(settled.anvil.endpoint)
        self.directory = directory
        self._stores: list[EthereumStore] = []
        self.digests: list[Hash] = []
        """Of what was sealed, from epoch 1 on."""
        self.committer = self.start()

    def start(self, endpoints: Endpoints | None = None, **settings: Any) -> Committer:
        """Over the same store: a restart, if there was one before."""
        settlement = self.settled.gateway.settlement
        self._stores.append(EthereumStore(self.directory / "ethereum.sqlite", CHAIN_ID, settlement))
        self.committer = Committer(
            Gateway(self.over(self.line) if endpoints is None else endpoints, CHAIN_ID, settlement),
            self._stores[-1],
            GAS_ACCOUNT,
            self.settled.deployment,
            CommitterSettings(**{"confirmations": CONFIRMATIONS, **settings}),
            self.clock,
        )
        return self.committer

    def over(self, *lines: Line, **settings: Any) -> Endpoints:
        return Endpoints(lines, CHAIN_ID, self.settled.gateway.settlement, clock=self.clock, **settings)

    def clock(self) -> int:
        """Milliseconds: of the client as it is then."""
        return self.anvil.clock()

    async def move(self, anvil: Anvil) -> None:
        """The client was started again, as this process."""
        await anvil.call("evm_setAutomine", False)
        self.settled.anvil = self.anvil = anvil
        self.line.endpoint = anvil.endpoint
        self.settled.gateway = Gateway(self.over(Line(anvil.endpoint)), CHAIN_ID, self.settled.gateway.settlement)

    def close(self) -> None:
        for store in self._stores:
            store.close()

    # --- what is done

    async def submit(self, **changes: Any) -> None:
        """The next epoch, sealed now."""
        commitment, signature = self.settled.seal(**changes)
        self.digests.append(hash_commitment(commitment, self.settled.domain))
        await self.committer.submit(commitment, signature)

    async def tick(self) -> str:
        """The situation after it."""
        await self.committer.tick()
        return self.situation

    async def mine(self, count: int = 1, *, base_fee: int | None = None) -> None:
        """One block at a time, and a look after each."""
        for _ in range(count):
            await self.anvil.mine(base_fee=base_fee)
            await self.committer.tick()

    def wait(self, seconds: int) -> None:
        """Nothing happens but time."""
        self.anvil.now_s += seconds

    async def send(
        self, account: LocalAccount, nonce: int, max_fee: int, data: bytes = b"", *, to: bytes | None = None
    ) -> Hash:
        """Of `account`, into the client's pool: a transfer of nothing to nobody, or a call of the contract."""
        signed = account.sign_transaction(
            {
                "type": 2,
                "chainId": CHAIN_ID,
                "nonce": nonce,
                "gas": 500_000 if data else 21_000,
                "maxFeePerGas": max_fee,
                "maxPriorityFeePerGas": min(max_fee, 2 * GWEI),
                "to": b"\x99" * 20 if to is None else to,
                "value": 0,
                "data": data,
            }
        )
        await self.anvil.call("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
        return bytes(signed.hash)

    # --- what is seen

    @property
    def situation(self) -> str:
        situation: str = self.committer.status()["state"]
        return situation

    def get_attempts(self, epoch: int = 1) -> tuple[Attempt, ...]:
        status = self.committer.get_epoch(epoch)
        assert status is not None
        return status.attempts

    async def count_mined(self) -> int:
        """Transactions of the gas account."""
        return int(await self.anvil.call("eth_getTransactionCount", GAS_ACCOUNT.address, "latest"), 16)

    async def is_pooled(self, l1_transaction: Hash) -> bool:
        found = await self.anvil.call("eth_getTransactionByHash", "0x" + l1_transaction.hex())
        return found is not None and found["blockNumber"] is None

    async def check_committed(self, *, foreign: int = 0, reverted: int = 0, not_ours: tuple[int, ...] = ()) -> None:
        """What holds in the end: everything sealed is committed once, in order, without a gap, and each attempt is
        there with what became of it. `foreign`: transactions of our account that are not the committer's; `not_ours`:
        epochs that somebody else brought in."""
        await self.mine(CONFIRMATIONS)
        assert self.situation == "idle", self.committer.status()
        gateway, latest = self.settled.gateway, await self.settled.gateway.get_block("latest")
        events = await self._get_committed_events(latest.number)
        assert [event.commitment.epoch for event in events] == list(range(1, len(self.digests) + 1))
        assert [event.digest for event in events] == self.digests
        assert (await gateway.get_head(latest.number)).epoch == self.committer.mined_epoch == len(self.digests)
        mined = 0
        for epoch, event in enumerate(events, 1):
            assert await gateway.get_commitment_hash(epoch, latest.number) == compute_stored_hash(
                event.digest, event.included_at
            )
            mined += await self._check_epoch(epoch, event, is_ours=epoch not in not_ours)
        reverts = [
            attempt
            for epoch in range(1, len(self.digests) + 1)
            for attempt in self.get_attempts(epoch)
            if attempt.outcome is AttemptOutcome.REVERTED
        ]
        assert len(reverts) == reverted
        assert await self.count_mined() == mined + reverted + foreign

    async def _get_committed_events(self, newest: int) -> list[CommittedEvent]:
        return await self.settled.gateway.get_committed_events(0, newest)

    async def _check_epoch(self, epoch: int, event: CommittedEvent, *, is_ours: bool) -> bool:
        """Returns whether a transaction of ours included it."""
        status = self.committer.get_epoch(epoch)
        assert status is not None and status.inclusion is not None
        assert status.state in (EpochState.MINED, EpochState.FINAL)
        assert status.is_ours == is_ours
        assert (status.inclusion.l1_transaction, status.inclusion.l1_block_hash, status.inclusion.included_at) == (
            event.l1_transaction,
            event.l1_block_hash,
            event.included_at,
        )
        assert [attempt.number for attempt in status.attempts] == list(range(1, len(status.attempts) + 1))
        included = [attempt for attempt in status.attempts if attempt.outcome is AttemptOutcome.INCLUDED]
        assert len(included) == is_ours
        for attempt in status.attempts:
            assert len(attempt.hash) == 32 and attempt.fees.max_fee >= attempt.fees.priority_fee > 0
            assert attempt.outcome is not None, "an attempt nobody knows the end of"
            receipt = await self.settled.gateway.get_receipt(attempt.hash)
            if attempt.outcome is AttemptOutcome.REPLACED:
                assert receipt is None
                continue
            assert receipt is not None
            assert receipt.is_success == (attempt.outcome is AttemptOutcome.INCLUDED)
            assert (attempt.gas_used, attempt.effective_gas_price) == (receipt.gas_used, receipt.effective_gas_price)
            assert attempt.cost > 0
        return is_ours


@asynccontextmanager
async def open_stand(anvil_path: Path, directory: Path, max_silence: int = 86_400) -> AsyncIterator[Stand]:
    """`max_silence`: seconds."""
    async with run_anvil(anvil_path) as anvil:
        stand = Stand(await settle(anvil, max_silence), directory)
        try:
            yield stand
        finally:
            stand.close()
