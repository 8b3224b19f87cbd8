"""Both clients of a node, against a ledger behind HTTP: what they ask, and what they make of the answers."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

from chain import wire
from chain.errors import InsufficientBalance, NotFound, Refusal
from chain.primitives import ZERO_HASH
from client import node as node_module
from client import protocol
from client.errors import BadReply, RefusedByNode, RpcError
from client.node import AsyncNode, Node
from client.protocol import Asset, Call
from tests.unit.client.ledger_server import LedgerServer
from tests.unit.client.scene import (
    ALICE,
    ALICE_KEY,
    BOB,
    DOMAIN,
    OPERATOR,
    PARAMETERS,
    TOKEN,
    Scene,
    make_payment,
    sign,
)
from tests.unit.client.servers import answer_json_rpc, serve


@pytest.fixture
def server() -> LedgerServer:
    return LedgerServer(Scene())


@pytest.fixture
def url(server: LedgerServer) -> Iterator[str]:
    with serve(answer_json_rpc(server)) as address:
        yield address


@pytest.fixture
def node(url: str) -> Iterator[Node]:
    with Node(url, sleep=lambda _: None) as opened:
        yield opened


@pytest.fixture
async def async_node(url: str) -> AsyncIterator[AsyncNode]:
    async with AsyncNode(url) as opened:
        yield opened


class TestWhatIsAsked:
    @pytest.mark.parametrize(
        ("call", "method", "params"),
        [
            (protocol.get_info(), "tally_getInfo", []),
            (protocol.get_receipt(b"\x01" * 32), "tally_getReceipt", ["0x" + "01" * 32]),
            (protocol.get_account(b"\x01" * 20), "tally_getAccount", ["0x" + "01" * 20]),
            (protocol.get_block(7), "tally_getBlock", ["0x7"]),
            (protocol.get_block("latest"), "tally_getBlock", ["latest"]),
            (protocol.get_block(b"\x02" * 32), "tally_getBlock", ["0x" + "02" * 32]),
            (protocol.get_commitment("final"), "tally_getCommitment", ["final"]),
            (
                protocol.get_statement(b"\x01" * 20, b"\x02" * 20, 3),
                "tally_getStatement",
                ["0x" + "01" * 20, "0x" + "02" * 20, "0x3"],
            ),
            (
                protocol.get_statement(b"\x01" * 20, b"\x02" * 20, 3, "more"),
                "tally_getStatement",
                ["0x" + "01" * 20, "0x" + "02" * 20, "0x3", "more"],
            ),
            (
                protocol.list_payments(account=b"\x01" * 20, kind="tip", from_s=1, limit=10),
                "tally_listPayments",
                [{"account": "0x" + "01" * 20, "kind": "tip", "from": "0x1", "limit": "0xa"}],
            ),
            (protocol.list_payments(), "tally_listPayments", [{}]),
            (protocol.quote("tip", {"amount": "0x1"}), "tally_quote", ["tip", {"amount": "0x1"}]),
        ],
    )
    def test_each_call_has_its_method_and_parameters(self, call: Call[Any], method: str, params: list[Any]) -> None:
        assert (call.method, list(call.params)) == (method, params)

    def test_a_payment_goes_out_in_its_json_form(self) -> None:
        signed = sign(make_payment(BOB, 1, 0), ALICE_KEY)
        call = protocol.send_payment(signed.payment, signed.signature)
        assert call.params[0]["outputs"][0]["amount"] == "0x1"
        assert call.params[1] == "0x" + signed.signature.hex()
        assert protocol.decode_payment_form(call.params[0]) == signed.payment


class TestBlocking:
    def test_the_ledger_introduces_itself(self, node: Node) -> None:
        info = node.get_info()
        assert (info.domain, info.parameters, info.operator) == (DOMAIN, PARAMETERS, OPERATOR)
        assert info.assets[1] == Asset(TOKEN, "TOK", 2, False)
        assert info.epoch == 3

    def test_a_token_that_has_not_said_its_symbol_or_decimals_spoils_nothing(self, server: LedgerServer) -> None:
        """The node does not know them until Ethereum has answered; and the standard makes both optional."""
        form = server.tally_getInfo()
        form["assets"][1] |= {"symbol": None, "decimals": None}
        asset = protocol.get_info().read(form).assets[1]
        assert asset == Asset(TOKEN, wire.encode_address(TOKEN)[:8] + "…", None, False)

    def test_accounts_blocks_commitments_and_receipts_are_read(self, node: Node, server: LedgerServer) -> None:
        account = node.get_account(ALICE)
        assert (account.nonce_base, account.next_nonce) == (5, 5)
        assert account.balances[TOKEN] == server.scene.replay.state.get_balance(TOKEN, ALICE)
        block = node.get_block("latest")
        assert (block.header, block.records) == (
            server.scene.blocks[-1][0].header,
            server.scene.blocks[-1][0].records,
        )
        commitment = node.get_commitment(1)
        assert (commitment.commitment, commitment.signature) == server.scene.sealed[0][:2]
        held = node.get_receipt(server.scene.first.id)
        assert (held.receipt.signed, held.status) == (server.scene.first, "committed")
        proof = node.get_payment_proof(server.scene.withdrawal.id)
        assert proof.withdrawal is not None
        assert proof.withdrawal.withdrawal.id == server.scene.withdrawal.id

    def test_a_payment_sent_twice_has_one_receipt(self, node: Node, server: LedgerServer) -> None:
        signed = sign(make_payment(BOB, 3, 5), ALICE_KEY)
        first = node.send_payment(signed.payment, signed.signature)
        assert node.send_payment(signed.payment, signed.signature) == first
        assert len(server.sent) == 2

    def test_a_refusal_is_raised_as_its_class(self, node: Node) -> None:
        signed = sign(make_payment(BOB, 10**9, 5), ALICE_KEY)
        with pytest.raises(InsufficientBalance) as raised:
            node.send_payment(signed.payment, signed.signature)
        assert (raised.value.asset, raised.value.needed) == (TOKEN, 10**9)
        with pytest.raises(NotFound):
            node.get_receipt(ZERO_HASH)

    def test_a_batch_gives_each_its_own_result_or_refusal(self, node: Node, server: LedgerServer) -> None:
        calls = [protocol.get_receipt(item) for item in (server.scene.first.id, ZERO_HASH, server.scene.second.id)]
        first, second, third = node.call_batch(calls)
        assert isinstance(second, NotFound)
        assert not isinstance(first, Refusal)
        assert not isinstance(third, Refusal)
        assert (first.id, third.id) == (server.scene.first.id, server.scene.second.id)

    def test_a_long_batch_goes_out_in_parts(
        self, node: Node, server: LedgerServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(node_module, "MAX_BATCH", 2)
        blocks = node.call_batch([protocol.get_block(number) for number in (1, 2, 3, 4, 5)])
        assert [block.header.number for block in blocks if not isinstance(block, Refusal)] == [1, 2, 3, 4, 5]


class TestAsync:
    async def test_it_says_the_same_as_the_blocking_one(
        self, async_node: AsyncNode, node: Node, server: LedgerServer
    ) -> None:
        assert await async_node.get_info() == node.get_info()
        assert await async_node.get_account(ALICE) == node.get_account(ALICE)
        assert await async_node.get_block(1) == node.get_block(1)
        assert await async_node.get_commitment("latest") == node.get_commitment("latest")
        assert await async_node.get_receipt(server.scene.first.id) == node.get_receipt(server.scene.first.id)

    async def test_payments_and_refusals(self, async_node: AsyncNode) -> None:
        signed = sign(make_payment(BOB, 3, 5), ALICE_KEY)
        held = await async_node.send_payment(signed.payment, signed.signature)
        assert held.receipt.signed == signed
        with pytest.raises(NotFound):
            await async_node.get_payment_proof(ZERO_HASH)
        outcomes = await async_node.call_batch([protocol.get_receipt(signed.id), protocol.get_receipt(ZERO_HASH)])
        assert [type(outcome).__name__ for outcome in outcomes] == ["HeldReceipt", "NotFound"]


BUSY = msgspec.json.encode(
    {"id": 0, "error": {"code": -32005, "message": "later", "data": {"code": "overloaded", "message": "later"}}}
)


def test_a_busy_node_is_asked_again_and_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []

    def answer(body: bytes) -> bytes:
        calls.append(body)
        return BUSY

    with serve(answer) as url, Node(url, sleep=lambda _: None) as node, pytest.raises(RefusedByNode, match="later"):
        node.get_info()
    assert len(calls) == node_module.BUSY_ATTEMPTS


@pytest.mark.parametrize(
    "change",
    [
        {"operator": "0x12"},
        {"ledgerChainId": "0x1"},
        {"l1ChainId": "0x1"},
        {"settlement": "0x" + "11" * 20},
        {"domain": {"name": "Other", "version": "1", "chainId": "0x1", "verifyingContract": "0x" + "11" * 20}},
        {"parameters": {**PARAMETERS.to_json(), "deployedAt": "1"}, "ledgerChainId": "0x0"},
        {"parameters": {**PARAMETERS.to_json(), "more": "1"}},
        {"parameters": None},
        {"assets": None},
        {"assets": [{}]},
        {"epoch": -1},
        {"name": 7},
    ],
)
def test_what_contradicts_itself_is_no_information(server: LedgerServer, change: dict[str, Any]) -> None:
    form = {**server.tally_getInfo(), **change}
    with pytest.raises(BadReply):
        protocol.get_info().read(form)


@pytest.mark.parametrize("result", [None, [], "text", {}, 7])
@pytest.mark.parametrize(
    "call",
    [
        protocol.get_info(),
        protocol.get_receipt(ZERO_HASH),
        protocol.get_payment(ZERO_HASH),
        protocol.get_account(ALICE),
        protocol.get_block(1),
        protocol.get_commitment(1),
        protocol.get_payment_proof(ZERO_HASH),
        protocol.get_account_proof(ALICE, TOKEN, 1),
        protocol.get_statement(ALICE, TOKEN, 1),
        protocol.list_payments(),
        protocol.quote("tip", {}),
    ],
    ids=lambda call: getattr(call, "method", repr(call)),
)
def test_a_result_of_another_form_is_a_bad_reply(call: Call[Any], result: Any) -> None:
    if call.method == "tally_getPayment" and result == {}:
        return
    with pytest.raises(BadReply):
        call.read(result)


def test_an_error_without_a_name_is_raised_as_it_came() -> None:
    body = msgspec.json.encode({"id": 0, "error": {"code": -32603, "message": "internal error"}})
    with serve(lambda _: body) as url, Node(url) as node, pytest.raises(RpcError, match="internal"):
        node.get_info()
