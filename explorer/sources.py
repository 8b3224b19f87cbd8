"""What the explorer is given: the index, what the archive has in evidence, what the node says of itself. Reads only."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol, TypeVar

import msgspec

from chain.params import Market
from chain.primitives import Address, Hash
from chain.registry import RegistryKey
from node.config import ExplorerConfig
from node.ethereum.change import Change
from node.ethereum.reserves import Reserves
from node.ethereum.submission import EpochStatus
from node.follower import Progress
from node.index import IndexReader
from node.ledger_info import LedgerInfo
from node.operations import OperationsReport
from node.payment_status import Commitments
from node.refusals import Overloaded

_THREADS: Final = 2
"""Pages are made beside the event loop, which payments need, and each thread keeps a connection to the index."""

_MAX_WAITING: Final = 64
"""Questions being answered or waiting for it; beyond, readers are asked to come back."""

_SETTLE_SECONDS: Final = 1.0
"""How long a page about what was not found waits for the index to show what is durable."""

_Answer = TypeVar("_Answer")


class Evidence(Protocol):
    """The archive, as far as pages show it. All raise `NotFound` and `Overloaded`."""

    async def get_receipt(self, record_id: Hash) -> dict[str, Any]:
        """What `tally_getReceipt` answers, of a payment or an instruction."""

    async def get_payment(self, payment_id: Hash) -> dict[str, Any]:
        """What `tally_getPayment` answers."""

    async def prove_payment(self, payment_id: Hash) -> dict[str, Any]:
        """What `tally_getPaymentProof` answers."""

    async def prove_account(self, account: Address, asset: Address, epoch: int) -> dict[str, Any]:
        """What `tally_getAccountProof` answers."""

    async def prove_entry(self, key: RegistryKey, epoch: int) -> dict[str, Any]:
        """What `tally_getFileProof` and `tally_getRolesProof` answer."""

    async def describe_commitment(self, epoch: int) -> dict[str, Any]:
        """What `tally_getCommitment` answers."""

    async def describe_record(self, block: int, index: int) -> dict[str, Any]:
        """A record as `tally_getBlock` lists it."""


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """All but `index` belong to the event loop."""

    index: IndexReader
    archive: Evidence
    get_purchase: Callable[[Hash, Address], Awaitable[dict[str, Any]]]
    """(file, buyer) → what `tally_getPurchase` answers. Raises `NotFound`."""
    market: Market
    info: LedgerInfo
    config: ExplorerConfig
    durable: Progress
    """The height of the journal."""
    indexed: Progress
    """How far the index is."""
    commitments_change: Change
    """Notified when the way of an epoch to Ethereum changes."""
    get_epoch: Callable[[int], EpochStatus | None]
    get_due_at: Callable[[], int]
    """Milliseconds since 1970, when the open epoch will be cut if anything is in it."""
    get_reserves: Callable[[], Reserves]
    report_operations: Callable[[], Awaitable[OperationsReport]]
    operator_token: str | None
    """That opens the operator's page; None: there is none."""
    report_health: Callable[[], tuple[bool, dict[str, Any]]]
    render_metrics: Callable[[], bytes]
    clock_ms: Callable[[], int]
    readers: "Readers"

    @property
    def commitments(self) -> Commitments:
        position = self.info.position
        return Commitments(position.mined_epoch, position.final_epoch)

    async def work(self, question: Callable[[], _Answer]) -> _Answer:
        """Asks the index in a thread. Raises `Overloaded` when too much is waiting already, and what `question`
        raises."""
        return await self.readers.work(question)

    async def settle(self) -> None:
        """Returns once the index shows what is durable now, or after a moment: it may be behind."""
        try:
            await asyncio.wait_for(self.indexed.reach(self.durable.value), _SETTLE_SECONDS)
        except TimeoutError:
            return


class Readers:
    """The threads in which the index is asked, and in which pages are made."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, "explorer")
        self._waiting = 0

    async def work(self, question: Callable[[], _Answer]) -> _Answer:
        """Raises `Overloaded` when too much is waiting already."""
        if self._waiting >= _MAX_WAITING:
            raise Overloaded(self._waiting)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, question)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Nothing may be asked any more. Waits for what is being answered; the index is free to close then."""
        self._threads.shutdown()
