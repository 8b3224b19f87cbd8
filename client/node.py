"""The node as its clients see it: `Node`, and `AsyncNode` for asyncio. Both know the methods of `client.protocol` and
`client.market`.

A refusal is raised as the class of `chain.errors` with its name. Everything may be called again after `Unreachable`,
those that send too: the same payment is charged once, and answered with the same receipt.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, TypeVar

from chain.errors import Refusal
from chain.instruction import Instruction, ListFile
from chain.payment import Payment
from chain.primitives import Address, Hash, Signature
from client import commitments, market, protocol, transport
from client.commitments import Way, WaysPage
from client.errors import RpcError
from client.health import HEALTH_PATH, Check, read_health
from client.market import (
    CommittedEntry,
    FileInfo,
    FilesPage,
    InstructionsPage,
    Purchase,
    RegistrationsPage,
    UploadReceipts,
)
from client.protocol import (
    Account,
    AnyHeldReceipt,
    Call,
    CommittedAccount,
    EpochCommitment,
    HeldInstructionReceipt,
    HeldReceipt,
    NodeInfo,
    PaymentProof,
    PaymentsPage,
    SignedBlock,
    StatementPage,
)
from client.refusals import BUSY_CODES, read_refusal
from client.transport import AsyncHttpTransport, HttpTransport, Reply

T = TypeVar("T")

MAX_BATCH: Final = 1000
"""Calls that the node takes in one batch."""
BUSY_ATTEMPTS: Final = 5


class Node:
    """Blocking. May be used by many threads at once."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 30.0,
        attempts: int = 4,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = HttpTransport(url, timeout_s=timeout_s, attempts=attempts, sleep=sleep)
        self._sleep = sleep

    @property
    def url(self) -> str:
        return self._transport.url

    def call(self, call: Call[T]) -> T:
        """Raises a `Refusal`, `Unreachable`, `BadReply` or `RpcError`. A busy node is asked again."""
        for attempt in range(BUSY_ATTEMPTS):
            reply = transport.decode_reply(self._transport.post(transport.encode_request((call.method, call.params))))
            if not _is_busy(reply) or attempt == BUSY_ATTEMPTS - 1:
                break
            self._sleep(transport.compute_pause(attempt))
        return _read(call, reply)

    def call_batch(self, calls: Sequence[Call[T]]) -> list[T | Refusal]:
        """Each call's result or refusal, in order. Sent in batches of up to 1,000; raises for everything else."""
        results: list[T | Refusal] = []
        for at in range(0, len(calls), MAX_BATCH):
            batch = calls[at : at + MAX_BATCH]
            body = self._transport.post(transport.encode_batch([(call.method, call.params) for call in batch]))
            items = _read_batch(batch, body)
            results.extend(items)
        return results

    def get_info(self) -> NodeInfo:
        return self.call(protocol.get_info())

    def send_payment(self, payment: Payment, signature: Signature) -> HeldReceipt:
        return self.call(protocol.send_payment(payment, signature))

    def get_receipt(self, payment_id: Hash) -> HeldReceipt:
        return self.call(protocol.get_receipt(payment_id))

    def get_any_receipt(self, record_id: Hash) -> AnyHeldReceipt:
        """Of a payment or an instruction."""
        return self.call(protocol.get_any_receipt(record_id))

    def get_payment(self, payment_id: Hash) -> dict[str, Any]:
        return self.call(protocol.get_payment(payment_id))

    def get_account(self, address: Address) -> Account:
        return self.call(protocol.get_account(address))

    def get_block(self, number: int | str | Hash) -> SignedBlock:
        return self.call(protocol.get_block(number))

    def get_commitment(self, epoch: int | str) -> EpochCommitment:
        return self.call(protocol.get_commitment(epoch))

    def get_way(self, epoch: int | str) -> Way:
        """A commitment with all that is known of its way to Ethereum."""
        return self.call(commitments.get_way(epoch))

    def list_commitments(self, cursor: str | None = None, limit: int | None = None) -> WaysPage:
        return self.call(commitments.list_commitments(cursor, limit))

    def get_health(self) -> dict[str, Check]:
        """How the node says that its parts are, by their names. Asked once: raises `Unreachable` or `BadReply`."""
        return read_health(self._transport.read(HEALTH_PATH))

    def get_payment_proof(self, payment_id: Hash) -> PaymentProof:
        return self.call(protocol.get_payment_proof(payment_id))

    def get_account_proof(self, address: Address, asset: Address, epoch: int | str) -> CommittedAccount:
        return self.call(protocol.get_account_proof(address, asset, epoch))

    def get_statement(
        self, address: Address, asset: Address, epoch: int | str, cursor: str | None = None
    ) -> StatementPage:
        return self.call(protocol.get_statement(address, asset, epoch, cursor))

    def iterate_statement(self, address: Address, asset: Address, epoch: int | str) -> Iterator[StatementPage]:
        """All pages of one statement."""
        page = self.get_statement(address, asset, epoch)
        yield page
        while page.cursor is not None:
            page = self.get_statement(address, asset, epoch, page.cursor)
            yield page

    def list_payments(self, **query: Any) -> PaymentsPage:
        """Parameters as of `client.protocol.list_payments`."""
        return self.call(protocol.list_payments(**query))

    def iterate_payments(self, **query: Any) -> Iterator[dict[str, Any]]:
        """Every payment that fits, newest first, fetched page by page."""
        page = self.list_payments(**query)
        yield from page.items
        while page.cursor is not None:
            page = self.list_payments(**{**query, "cursor": page.cursor})
            yield from page.items

    def quote(self, kind: str, details: Mapping[str, Any]) -> Payment:
        return self.call(protocol.quote(kind, details))

    def send_instruction(self, instruction: Instruction, signature: Signature) -> HeldInstructionReceipt:
        return self.call(market.send_instruction(instruction, signature))

    def send_upload(
        self, listing: ListFile, listing_signature: Signature, payment: Payment, payment_signature: Signature
    ) -> UploadReceipts:
        return self.call(market.send_upload(listing, listing_signature, payment, payment_signature))

    def get_file(self, file: Hash) -> FileInfo:
        return self.call(market.get_file(file))

    def list_files(self, **query: Any) -> FilesPage:
        """Parameters as of `client.market.list_files`."""
        return self.call(market.list_files(**query))

    def get_purchase(self, file: Hash, buyer: Address) -> Purchase:
        return self.call(market.get_purchase(file, buyer))

    def list_registrations(self, **query: Any) -> RegistrationsPage:
        """Parameters as of `client.market.list_registrations`."""
        return self.call(market.list_registrations(**query))

    def list_instructions(self, **query: Any) -> InstructionsPage:
        """Parameters as of `client.market.list_instructions`."""
        return self.call(market.list_instructions(**query))

    def get_file_proof(self, file: Hash, epoch: int | str) -> CommittedEntry:
        return self.call(market.get_file_proof(file, epoch))

    def get_roles_proof(self, account: Address, epoch: int | str) -> CommittedEntry:
        return self.call(market.get_roles_proof(account, epoch))

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> "Node":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncNode:
    """For asyncio. `async with`, or `aclose`, ends its connections."""

    def __init__(self, url: str, *, timeout_s: float = 30.0, attempts: int = 4, connections: int = 100) -> None:
        self._transport = AsyncHttpTransport(url, timeout_s=timeout_s, attempts=attempts, connections=connections)

    @property
    def url(self) -> str:
        return self._transport.url

    async def call(self, call: Call[T]) -> T:
        """As `Node.call`."""
        request = transport.encode_request((call.method, call.params))
        for attempt in range(BUSY_ATTEMPTS):
            reply = transport.decode_reply(await self._transport.post(request))
            if not _is_busy(reply) or attempt == BUSY_ATTEMPTS - 1:
                break
            await asyncio.sleep(transport.compute_pause(attempt))
        return _read(call, reply)

    async def call_batch(self, calls: Sequence[Call[T]]) -> list[T | Refusal]:
        """As `Node.call_batch`."""
        results: list[T | Refusal] = []
        for at in range(0, len(calls), MAX_BATCH):
            batch = calls[at : at + MAX_BATCH]
            body = await self._transport.post(transport.encode_batch([(call.method, call.params) for call in batch]))
            items = _read_batch(batch, body)
            results.extend(items)
        return results

    async def get_info(self) -> NodeInfo:
        return await self.call(protocol.get_info())

    async def send_payment(self, payment: Payment, signature: Signature) -> HeldReceipt:
        return await self.call(protocol.send_payment(payment, signature))

    async def get_receipt(self, payment_id: Hash) -> HeldReceipt:
        return await self.call(protocol.get_receipt(payment_id))

    async def get_any_receipt(self, record_id: Hash) -> AnyHeldReceipt:
        return await self.call(protocol.get_any_receipt(record_id))

    async def get_payment(self, payment_id: Hash) -> dict[str, Any]:
        return await self.call(protocol.get_payment(payment_id))

    async def get_account(self, address: Address) -> Account:
        return await self.call(protocol.get_account(address))

    async def get_block(self, number: int | str | Hash) -> SignedBlock:
        return await self.call(protocol.get_block(number))

    async def get_commitment(self, epoch: int | str) -> EpochCommitment:
        return await self.call(protocol.get_commitment(epoch))

    async def get_way(self, epoch: int | str) -> Way:
        return await self.call(commitments.get_way(epoch))

    async def list_commitments(self, cursor: str | None = None, limit: int | None = None) -> WaysPage:
        return await self.call(commitments.list_commitments(cursor, limit))

    async def get_payment_proof(self, payment_id: Hash) -> PaymentProof:
        return await self.call(protocol.get_payment_proof(payment_id))

    async def get_account_proof(self, address: Address, asset: Address, epoch: int | str) -> CommittedAccount:
        return await self.call(protocol.get_account_proof(address, asset, epoch))

    async def get_statement(
        self, address: Address, asset: Address, epoch: int | str, cursor: str | None = None
    ) -> StatementPage:
        return await self.call(protocol.get_statement(address, asset, epoch, cursor))

    async def list_payments(self, **query: Any) -> PaymentsPage:
        return await self.call(protocol.list_payments(**query))

    async def iterate_payments(self, **query: Any) -> AsyncIterator[dict[str, Any]]:
        page = await self.list_payments(**query)
        while True:
            for item in page.items:
                yield item
            if page.cursor is None:
                return
            page = await self.list_payments(**{**query, "cursor": page.cursor})

    async def quote(self, kind: str, details: Mapping[str, Any]) -> Payment:
        return await self.call(protocol.quote(kind, details))

    async def send_instruction(self, instruction: Instruction, signature: Signature) -> HeldInstructionReceipt:
        return await self.call(market.send_instruction(instruction, signature))

    async def send_upload(
        self, listing: ListFile, listing_signature: Signature, payment: Payment, payment_signature: Signature
    ) -> UploadReceipts:
        return await self.call(market.send_upload(listing, listing_signature, payment, payment_signature))

    async def get_file(self, file: Hash) -> FileInfo:
        return await self.call(market.get_file(file))

    async def list_files(self, **query: Any) -> FilesPage:
        return await self.call(market.list_files(**query))

    async def get_purchase(self, file: Hash, buyer: Address) -> Purchase:
        return await self.call(market.get_purchase(file, buyer))

    async def list_registrations(self, **query: Any) -> RegistrationsPage:
        return await self.call(market.list_registrations(**query))

    async def list_instructions(self, **query: Any) -> InstructionsPage:
        return await self.call(market.list_instructions(**query))

    async def get_file_proof(self, file: Hash, epoch: int | str) -> CommittedEntry:
        return await self.call(market.get_file_proof(file, epoch))

    async def get_roles_proof(self, account: Address, epoch: int | str) -> CommittedEntry:
        return await self.call(market.get_roles_proof(account, epoch))

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def __aenter__(self) -> "AsyncNode":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _is_busy(reply: Reply) -> bool:
    refusal = None if reply.error is None else read_refusal(reply.error)
    return isinstance(refusal, Refusal) and refusal.code in BUSY_CODES


def _read(call: Call[T], reply: Reply) -> T:
    if reply.error is not None:
        raise read_refusal(reply.error)
    return call.read(reply.result)


def _read_batch(batch: Sequence[Call[T]], body: bytes) -> list[T | Refusal]:
    results: list[T | Refusal] = []
    for call, reply in zip(batch, transport.decode_batch(body, len(batch)), strict=True):
        if reply.error is None:
            results.append(call.read(reply.result))
            continue
        outcome = read_refusal(reply.error)
        if isinstance(outcome, RpcError):
            raise outcome
        results.append(outcome)
    return results
