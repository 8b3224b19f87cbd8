"""`tally_subscribe` and `tally_unsubscribe`: a client hears what becomes durable, and loses nothing without being told.

    tally_subscribe [topic, filter?] → the subscription's id
    topic           filter                                           what is told, in order
    blocks          {fromBlock?}                                     the header of each block, as receipts show it
    payments        {account?, asset?, kind?, reference?, fromBlock?}  each payment as lists show it, `accepted`
    commitments     {}                                               `tally_getCommitment`'s answer, when it changes

A subscription is a task with a place in the ledger. It tells what stands there, as fast as its client reads, and goes
on; nothing is queued for it. A client that comes back with `fromBlock` misses nothing: from the block after the last
one heard whole, or, where a filter hides whether it was whole, from that one again, whose payments it knows by their
ids. One that falls too far behind is told so by name, and from where to go on, and is told nothing more.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol, TypeAlias

import msgspec
import structlog

from chain import wire
from chain.errors import MalformedRequest, Refusal
from chain.payment import Payment, SignedPayment
from chain.primitives import MAX_U64
from node.index import PaymentFilter
from node.metrics import REFUSALS
from node.refusals import ConnectionRequired, Overloaded, SubscriptionLagged, TooFarBack, TooManySubscriptions
from node.rpc.envelope import INTERNAL_ERROR, describe_refusal
from node.rpc.feed import MAX_SUBSCRIPTIONS_IN_ALL, BlockTexts, Feed
from node.rpc.parameters import take_params
from node.workers.verifier import encode_refusal

TOPICS: Final = ("blocks", "payments", "commitments")
NOTIFICATION: Final = "tally_subscription"

MAX_SUBSCRIPTIONS: Final = 32
"""Of one connection."""

MAX_BLOCKS_BACK: Final = 100_000
"""How far before the newest block `fromBlock` may be."""

MAX_LAG_BLOCKS: Final = 10_000
"""How many blocks further behind than it has already been a subscription may fall."""

_PAUSE_SECONDS: Final = 0.1

_SLICE: Final = 64
"""Records looked at in one turn: a millisecond or two."""

_log = structlog.get_logger(__name__)


class Outlet(Protocol):
    """A connection, as far as subscriptions use it."""

    @property
    def is_writable(self) -> bool:
        """Whether another message can be sent without waiting."""

    async def wait_until_writable(self) -> None:
        """Raises OSError when the client has gone, or takes nothing for too long."""

    async def send(self, text: str) -> None: ...


_Show: TypeAlias = Callable[[BlockTexts, int], str | None]
"""What is told of a block's record with this index, if anything."""


class Subscription:
    def __init__(self, feed: Feed, outlet: Outlet) -> None:
        self.id = "0x" + secrets.token_hex(16)
        self._feed = feed
        self._outlet = outlet
        self._head = f'{{"jsonrpc":"2.0","method":"{NOTIFICATION}","params":{{"subscription":"{self.id}",'

    async def tell_blocks(self, first: int) -> None:
        await self._follow(first, lambda block, index: block.header, lambda block: 1)

    async def tell_payments(self, first: int, wanted: PaymentFilter) -> None:
        def show(block: BlockTexts, index: int) -> str | None:
            record = block.view.records[index]
            if not isinstance(record, SignedPayment) or not is_wanted(record.payment, wanted):
                return None
            return block.describe_payment(index, record)

        await self._follow(first, show, lambda block: len(block.view.records))

    async def tell_commitments(self, first: int) -> None:
        log, number = self._feed.commitments, first
        while True:
            while number < log.count:
                await self._outlet.wait_until_writable()
                async with self._feed.pace.turn():
                    if number < log.oldest:
                        raise SubscriptionLagged(log.count - number, log.count - log.oldest, None)
                    await self._tell(log.get(number))
                number += 1
            await log.change.wait()

    async def tell_end(self, error: dict[str, Any]) -> None:
        """The last notification: it has an error where others have a result."""
        await self._outlet.wait_until_writable()
        await self._outlet.send(f'{self._head}"error":{msgspec.json.encode(error).decode()}}}}}')

    async def _follow(self, first: int, show: _Show, count: Callable[[BlockTexts], int]) -> None:
        """`count`: how many indexes of a block `show` is asked about."""
        number, index = first, 0
        allowed = self._feed.head + 1 - first + MAX_LAG_BLOCKS
        while True:
            while number <= self._feed.head:
                await self._outlet.wait_until_writable()
                behind = self._feed.head + 1 - number
                if behind > allowed:
                    raise SubscriptionLagged(behind, allowed, number)
                allowed = min(allowed, behind + MAX_LAG_BLOCKS)
                await self._load(number)
                async with self._feed.pace.turn():
                    number, index = await self._tell_slice(number, index, show, count)
            await self._feed.wait_for_blocks()

    async def _load(self, number: int) -> None:
        while True:
            try:
                return await self._feed.load_block(number)
            except Overloaded:  # others read the journal: in a moment, then
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _tell_slice(
        self, number: int, index: int, show: _Show, count: Callable[[BlockTexts], int]
    ) -> tuple[int, int]:
        """From a block's index on. Returns where to go on."""
        for _ in range(_SLICE):
            if number > self._feed.head or not self._outlet.is_writable:
                break
            block = self._feed.find_block(number)
            if block is None:
                break
            text = show(block, index)
            if text is not None:
                await self._tell(text)  # which need not wait
            index += 1
            if index >= count(block):
                number, index = number + 1, 0
        return number, index

    async def _tell(self, text: str) -> None:
        await self._outlet.send(f'{self._head}"result":{text}}}}}')


class Subscriber:
    """A connection's subscriptions."""

    def __init__(self, feed: Feed, outlet: Outlet) -> None:
        self._feed = feed
        self._outlet = outlet
        self._tasks: dict[str, asyncio.Task[None] | None] = {}
        """By id; None for one that waits to be started."""

    def open(self, make: Callable[[Subscription], Coroutine[Any, Any, None]]) -> "Opened":
        """Takes a place. Raises `TooManySubscriptions`, `Overloaded`."""
        if len(self._tasks) >= MAX_SUBSCRIPTIONS:
            raise TooManySubscriptions(MAX_SUBSCRIPTIONS)
        if self._feed.subscription_count >= MAX_SUBSCRIPTIONS_IN_ALL:
            raise Overloaded(self._feed.subscription_count)
        subscription = Subscription(self._feed, self._outlet)
        self._tasks[subscription.id] = None
        self._feed.subscription_count += 1
        return Opened(subscription.id, lambda: self._start(subscription, make))

    async def close(self, subscription_id: str) -> bool:
        """Once it has returned, nothing more is told. Whether there was such a subscription."""
        if subscription_id not in self._tasks:
            return False
        task = self._remove(subscription_id)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return True

    async def close_all(self) -> None:
        for subscription_id in list(self._tasks):
            await self.close(subscription_id)

    def _start(self, subscription: Subscription, make: Callable[[Subscription], Coroutine[Any, Any, None]]) -> None:
        if subscription.id in self._tasks:
            self._tasks[subscription.id] = asyncio.create_task(self._run(subscription, make))

    async def _run(self, subscription: Subscription, make: Callable[[Subscription], Coroutine[Any, Any, None]]) -> None:
        try:
            try:
                await make(subscription)
            except Refusal as refusal:
                REFUSALS.labels(refusal.code).inc()
                await subscription.tell_end(describe_refusal(*encode_refusal(refusal)))
            except OSError:
                raise
            except Exception as error:  # noqa: BLE001
                _log.error("a subscription failed", exc_info=error)
                await subscription.tell_end({"code": INTERNAL_ERROR, "message": "internal error"})
        except OSError:
            pass  # the client has gone, which the connection sees, too
        finally:
            self._remove(subscription.id)

    def _remove(self, subscription_id: str) -> "asyncio.Task[None] | None":
        if subscription_id not in self._tasks:
            return None
        self._feed.subscription_count -= 1
        return self._tasks.pop(subscription_id)


class Opened:
    """A subscription that begins once its client has been told its id."""

    def __init__(self, subscription_id: str, start: Callable[[], None]) -> None:
        self.id = subscription_id
        self.start = start


class Caller:
    """Who sent a message over a connection, what it opened, and what its answer has come to so far."""

    def __init__(self, subscriber: Subscriber, feed: Feed) -> None:
        self.subscriber = subscriber
        self.feed = feed
        self.opened: list[Opened] = []
        self.answer_bytes = 0

    async def wait_for_room(self) -> None:
        """Before more of the answer is made. For one that is alone there always is."""


async def subscribe(caller: Caller | None, params: bytes) -> str:
    """[topic, filter?] → the subscription's id. Raises `ConnectionRequired`, `MalformedRequest`, `UnknownKind`,
    `TooFarBack`, `TooManySubscriptions`, `Overloaded`."""
    if caller is None:
        raise ConnectionRequired("tally_subscribe")
    topic, options = take_params(params, "topic", "filter", optional=1)
    if topic not in TOPICS:
        raise MalformedRequest("topic: one of " + " ".join(TOPICS))
    opened = caller.subscriber.open(_choose(caller.feed, topic, {} if options is None else options))
    caller.opened.append(opened)
    return opened.id


async def unsubscribe(caller: Caller | None, params: bytes) -> bool:
    """[id] → whether there was such a subscription on this connection; nothing more is told of it. Raises
    `ConnectionRequired`, `MalformedRequest`."""
    if caller is None:
        raise ConnectionRequired("tally_unsubscribe")
    (subscription_id,) = take_params(params, "subscription")
    if not isinstance(subscription_id, str):
        raise MalformedRequest("subscription: not text")
    return await caller.subscriber.close(subscription_id)


SUBSCRIPTION_METHODS: Final[dict[str, Callable[[Caller | None, bytes], Awaitable[Any]]]] = {
    "tally_subscribe": subscribe,
    "tally_unsubscribe": unsubscribe,
}


def is_wanted(payment: Payment, wanted: PaymentFilter) -> bool:
    """As the index chooses for lists, by account, asset, kind and reference."""
    return (
        (wanted.asset is None or payment.asset == wanted.asset)
        and (wanted.kind is None or payment.kind == wanted.kind)
        and (wanted.reference is None or payment.reference == wanted.reference)
        and (
            wanted.account is None
            or payment.payer == wanted.account
            or any(output.to == wanted.account for output in payment.outputs)
        )
    )


def _choose(feed: Feed, topic: str, options: Any) -> Callable[[Subscription], Coroutine[Any, Any, None]]:
    """What a subscription is to do, from where the ledger is at this moment."""
    known = {
        "blocks": {"fromBlock"},
        "payments": {"account", "asset", "kind", "reference", "fromBlock"},
        "commitments": set[str](),
    }[topic]
    if not isinstance(options, dict) or not known.issuperset(options):
        raise MalformedRequest(f"the filter of {topic} is an object with keys out of: {' '.join(sorted(known))}")
    if topic == "commitments":
        position = feed.commitments.count
        return lambda subscription: subscription.tell_commitments(position)
    first = _take_first_block(feed, options)
    if topic == "blocks":
        return lambda subscription: subscription.tell_blocks(first)
    wanted = _take_filter(options)
    return lambda subscription: subscription.tell_payments(first, wanted)


def _take_first_block(feed: Feed, options: dict[str, Any]) -> int:
    following = feed.head + 1
    if options.get("fromBlock") is None:
        return following
    first = wire.decode_quantity(options["fromBlock"], "fromBlock", MAX_U64)
    if not 1 <= first <= following:
        raise MalformedRequest(f"fromBlock: from 1 to {following}, which is the next one")
    oldest = max(1, following - MAX_BLOCKS_BACK)
    if first < oldest:
        raise TooFarBack(first, oldest)
    return first


def _take_filter(options: dict[str, Any]) -> PaymentFilter:
    account, asset, kind, reference = [options.get(name) for name in ("account", "asset", "kind", "reference")]
    if kind is not None and not isinstance(kind, str):
        raise MalformedRequest("kind: not text")
    wanted = PaymentFilter(
        account=None if account is None else wire.decode_address(account, "account"),
        asset=None if asset is None else wire.decode_address(asset, "asset"),
        kind=kind,
        reference=None if reference is None else wire.decode_hash(reference, "reference"),
    )
    wanted.check()
    return wanted
