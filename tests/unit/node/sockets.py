"""A ledger behind a real WebSocket: sequencer, archive and feed as in the node, uvicorn before them, and clients."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import uvicorn
from websockets.asyncio.client import ClientConnection, connect

from chain.commitment import NO_COMMITMENT
from chain.primitives import Address, Hash
from node.archive import Archive
from node.ethereum.change import Change
from node.ethereum.submission import Attempt, EpochState, EpochStatus, Fees, Inclusion, Seal
from node.follower import Progress
from node.rpc.feed import Feed
from node.rpc.protocol import BoundedProtocol
from node.rpc.server import RpcServer
from node.rpc.websocket import SocketProtocol, WebSocketServer
from node.sequencer import PublishedBlock
from tests.unit.chain.actors import ALICE, BOB, CAROL, PARAMETERS
from tests.unit.node.running import Desk, open_desk, pay, soon

MAX_MESSAGE = 64 << 10
BUFFER = 8 << 10
"""Bytes that the kernel keeps for each direction, about: small, so that a client who does not read is soon felt."""


class FakeCommitter:
    """Epochs on their way to Ethereum, moved by the test."""

    def __init__(self) -> None:
        self.change = Change()
        self.statuses: dict[int, EpochStatus] = {}
        self.final_epoch = 0

    def get_epoch(self, epoch: int) -> EpochStatus | None:
        return self.statuses.get(epoch)

    def get_commitment(self, epoch: int) -> Seal | None:
        if epoch not in self.statuses:
            return None
        return Seal(msgspec.structs.replace(NO_COMMITMENT, epoch=epoch), bytes(65), bytes(32), 0)

    def move(self, epoch: int, state: EpochState, attempts: int = 0, confirmations: int = 0) -> None:
        is_mined = state in (EpochState.MINED, EpochState.FINAL)
        self.statuses[epoch] = EpochStatus(
            epoch=epoch,
            state=state,
            digest=bytes(32),
            sealed_at=0,
            attempts=tuple([make_attempt(epoch, number) for number in range(1, attempts + 1)]),
            inclusion=Inclusion(epoch, bytes(32), 1, b"\x11" * 32, 7, bytes(32), 1, 1) if is_mined else None,
            confirmations=confirmations,
            final_at=None,
            is_ours=True,
        )
        if state == EpochState.FINAL:
            self.final_epoch = epoch
        self.change.notify()


def make_attempt(epoch: int, number: int) -> Attempt:
    return Attempt(epoch, number, bytes([number]) * 32, 0, 1, Fees(2, 1), b"\x02", 0, 0)


class FakeEpochs:
    sealed_epoch = 0


class Stand:
    """What a test works on. `methods` stands in for what the functions of `node.rpc.methods` work on."""

    def __init__(self, desk: Desk, patience_s: float, methods: Any) -> None:
        self.desk = desk
        self.committer, self.epochs = FakeCommitter(), FakeEpochs()
        self.durable = Progress(desk.journal.height)
        parts: Any = (desk.journal, self.durable, None, self.durable, None, desk.sequencer, self.committer, self.epochs)
        self.archive = Archive(PARAMETERS, *parts)
        fakes: Any = self.committer
        self.feed = Feed(self.archive, desk.sequencer, self.durable, fakes)
        self.rpc = RpcServer(methods, MAX_MESSAGE)
        self.server = WebSocketServer(self.rpc, self.feed, MAX_MESSAGE, patience_s)
        self.port = 0
        self.nonce = 0
        desk.listeners.append(self._take_durable)

    def _take_durable(self, block: PublishedBlock | None) -> None:
        if block is not None:
            self.archive.take_block(block)
        self.durable.advance(self.desk.journal.height)

    @property
    def head(self) -> int:
        return self.desk.sequencer.durable_block

    async def pay(self, *outputs: tuple[Address, int], **fields: Any) -> Hash:
        """One payment of Alice's in a block of its own; its id."""
        payment = pay(self.nonce, *outputs, **fields)
        self.nonce += 1
        await soon(self.desk.sequencer.submit([payment]))
        return payment.signed.id

    async def pay_together(self, count: int) -> list[Hash]:
        """In one block."""
        payments = [pay(self.nonce + number) for number in range(count)]
        self.nonce += count
        await soon(self.desk.sequencer.submit(payments))
        return [payment.signed.id for payment in payments]

    @contextlib.asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator["Client"]:
        """Buffers are small; `max_queue` is how many messages the library reads ahead."""
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", self.port))
        given = {"max_size": None, "ping_interval": None, "compression": None, **options}
        async with connect(f"ws://127.0.0.1:{self.port}/ws", sock=made, **given) as connection:
            yield Client(connection)


class Client:
    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._told: list[Any] = []
        self._number = 0

    async def send(self, message: Any) -> None:
        await self.connection.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def receive(self) -> Any:
        """The next message, whatever it is."""
        return json.loads(await soon(self.connection.recv()))

    async def ask(self, method: str, *params: Any) -> Any:
        """The answer; what is told meanwhile is kept for `hear`."""
        self._number += 1
        await self.send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": list(params)})
        while True:
            message = await self.receive()
            if message.get("id") == self._number:
                return message
            self._told.append(message)

    async def call(self, method: str, *params: Any) -> Any:
        answer = await self.ask(method, *params)
        assert "result" in answer, answer
        return answer["result"]

    async def refuse(self, method: str, *params: Any) -> dict[str, Any]:
        """The refusal's data."""
        answer = await self.ask(method, *params)
        assert "error" in answer, answer
        data: dict[str, Any] = answer["error"]["data"]
        return data

    async def hear(self, subscription: str) -> Any:
        """The next notification's result, which is of this subscription."""
        params = await self.hear_any()
        assert params["subscription"] == subscription
        assert set(params) == {"subscription", "result"}, params
        return params["result"]

    async def hear_any(self) -> Any:
        message = self._told.pop(0) if self._told else await self.receive()
        assert (message["jsonrpc"], message["method"]) == ("2.0", "tally_subscription") and "id" not in message
        return message["params"]


@contextlib.asynccontextmanager
async def open_stand(patience_s: float = 5.0, methods: Any = None) -> AsyncIterator[Stand]:
    """Alice, Bob and Carol are funded by block 1."""
    async with open_desk(ALICE, BOB, CAROL) as desk:
        stand = Stand(desk, patience_s, methods)
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        config = uvicorn.Config(
            stand.server,
            interface="asgi3",
            http=BoundedProtocol,
            ws=SocketProtocol,
            ws_max_size=MAX_MESSAGE,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        stand.port = listener.getsockname()[1]
        feeding = asyncio.create_task(stand.feed.run())
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield stand
        finally:
            is_feeding = not feeding.done()
            await soon(stand.server.close())
            server.should_exit = True
            await soon(serving)
            feeding.cancel()
            outcome = (await asyncio.gather(feeding, return_exceptions=True))[0]
            stand.archive.close()
        assert is_feeding, outcome
        assert stand.feed.subscription_count == 0 and not stand.feed._waiting


async def wait_until(look: Any) -> None:
    """Fails the test rather than waiting for ever."""

    async def poll() -> None:
        while not look():  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    await soon(poll())
