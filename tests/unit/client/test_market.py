"""The node's methods of the data exchange: what is asked, and what is made of the answers."""

import copy
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from chain import wire
from chain.errors import AlreadyRegistered, InvalidProof, InvalidSignature, NotFound
from chain.instruction import Register, UpdatePrice
from chain.market import compute_shares
from chain.params import Market
from chain.primitives import ZERO_HASH
from chain.registry import FileEntry, check_registry_proof
from client import market, protocol
from client.errors import BadReply
from client.market import FileInfo, Registration
from client.node import AsyncNode, Node
from client.protocol import Call, HeldInstructionReceipt, HeldReceipt
from tests.unit.client.market_scene import (
    ESCROW,
    FILE,
    KEEPER,
    MART,
    OWNER,
    PRICE,
    VALIDATOR,
    MarketScene,
    MarketServer,
    make_listing,
)
from tests.unit.client.scene import ALICE, DOMAIN, MARKET, PARAMETERS, TOKEN
from tests.unit.client.servers import answer_json_rpc, serve


@pytest.fixture
def server() -> MarketServer:
    return MarketServer(MarketScene())


@pytest.fixture
def url(server: MarketServer) -> Iterator[str]:
    with serve(answer_json_rpc(server)) as address:
        yield address


@pytest.fixture
def node(url: str) -> Iterator[Node]:
    with Node(url, sleep=lambda _: None) as opened:
        yield opened


HASH = "0x" + "01" * 32
ADDRESS = "0x" + "02" * 20


class TestWhatIsAsked:
    @pytest.mark.parametrize(
        ("call", "method", "params"),
        [
            (protocol.get_any_receipt(b"\x01" * 32), "tally_getReceipt", [HASH]),
            (market.get_file(b"\x01" * 32), "tally_getFile", [HASH]),
            (market.get_purchase(b"\x01" * 32, b"\x02" * 20), "tally_getPurchase", [HASH, ADDRESS]),
            (market.list_files(), "tally_listFiles", [{}]),
            (
                market.list_files(text="lake", tags=("a", "b"), owner=b"\x02" * 20, status="all", limit=10),
                "tally_listFiles",
                [{"text": "lake", "tag": ["a", "b"], "owner": ADDRESS, "status": "all", "limit": "0xa"}],
            ),
            (
                market.list_registrations(role="owner", validator=b"\x02" * 20, cursor="c"),
                "tally_listRegistrations",
                [{"role": "owner", "validator": ADDRESS, "cursor": "c"}],
            ),
            (
                market.list_instructions(account=b"\x02" * 20, file=b"\x01" * 32, limit=1),
                "tally_listInstructions",
                [{"account": ADDRESS, "file": HASH, "limit": "0x1"}],
            ),
            (market.get_file_proof(b"\x01" * 32, 7), "tally_getFileProof", [HASH, "0x7"]),
            (market.get_roles_proof(b"\x02" * 20, "latest"), "tally_getRolesProof", [ADDRESS, "latest"]),
        ],
    )
    def test_each_call_has_its_method_and_parameters(self, call: Call[Any], method: str, params: list[Any]) -> None:
        assert (call.method, list(call.params)) == (method, params)

    def test_what_is_signed_goes_out_in_its_json_form(self, server: MarketServer) -> None:
        listing, upload = server.scene.listing, server.scene.upload
        alone = market.send_instruction(listing.instruction, listing.signature)
        both = market.send_upload(listing.instruction, listing.signature, upload.payment, upload.signature)
        assert wire.decode_instruction(both.params[0]) == wire.decode_instruction(alone.params[0])
        assert wire.decode_instruction(alone.params[0]) == listing.instruction
        assert both.params[1] == alone.params[1] == "0x" + listing.signature.hex()
        assert protocol.decode_payment_form(both.params[2]) == upload.payment
        assert (both.method, alone.method) == ("tally_sendUpload", "tally_sendInstruction")


class TestAnswers:
    def test_the_node_says_its_escrow_and_the_market_s_parameters(self, node: Node) -> None:
        info = node.get_info()
        assert info.escrow == ESCROW
        assert info.parameters == PARAMETERS
        assert info.parameters.market == MARKET

    def test_an_account_has_roles(self, node: Node) -> None:
        found = [node.get_account(who) for who in (VALIDATOR, OWNER, MART, KEEPER, ALICE)]
        assert [(account.roles, account.owner_under) for account in found] == [
            (("validator",), None),
            (("owner",), VALIDATOR),
            (("mart",), None),
            (("service_node",), None),
            ((), None),
        ]

    def test_an_instruction_sent_twice_has_one_receipt(self, node: Node, server: MarketServer) -> None:
        signed = server.scene.sign(Register(VALIDATOR, 3, 0, "mart"))
        first = node.send_instruction(signed.instruction, signed.signature)
        assert node.send_instruction(signed.instruction, signed.signature) == first
        assert first.receipt.signed == signed
        again = server.scene.sign(Register(VALIDATOR, 4, 0, "mart"))
        with pytest.raises(AlreadyRegistered) as raised:
            node.send_instruction(again.instruction, again.signature)
        assert (raised.value.account, raised.value.role) == (VALIDATOR, "mart")

    def test_receipts_are_of_payments_and_of_instructions(self, node: Node, server: MarketServer) -> None:
        listed, paid = node.get_any_receipt(server.scene.listing.id), node.get_any_receipt(server.scene.upload.id)
        assert isinstance(listed, HeldInstructionReceipt) and isinstance(paid, HeldReceipt)
        assert (listed.receipt.signed, paid.receipt.signed) == (server.scene.listing, server.scene.upload)
        with pytest.raises(BadReply):
            node.get_receipt(server.scene.listing.id)

    def test_a_file_is_read_with_what_it_cost(self, node: Node, server: MarketServer) -> None:
        server.scene.reprice(300, 3)
        file, listing = node.get_file(FILE), make_listing()
        assert (file.id, file.name, file.tags, file.content_hash) == (
            FILE, listing.name, listing.tags, listing.content_hash,
        )  # fmt: skip
        assert (file.price, [point.price for point in file.prices]) == (300, [300, PRICE])
        assert (file.key_hash, file.is_key_in_escrow, file.service_node) == (listing.key_hash, True, KEEPER)
        assert file.as_file() == server.scene.replay.state.files[FILE]
        assert sum(amount for _, amount in compute_shares(file.as_file(), MARKET)) == 300
        with pytest.raises(NotFound):
            node.get_file(ZERO_HASH)

    def test_lists_go_on_from_page_to_page(self, node: Node, server: MarketServer) -> None:
        for number in range(3):
            listing = make_listing(nonce=3 + number, file=bytes([number]) * 32, name=f"lake {number}", tags=("lake",))
            server.scene.add_block(server.scene.sign(listing))
        page = node.list_files(text="lake", tags=("lake",))
        assert isinstance(page.items[0], FileInfo) and page.items[0].prices == ()
        names = [page.items[0].name]
        while page.cursor is not None:
            page = node.list_files(text="lake", tags=("lake",), cursor=page.cursor)
            names += [file.name for file in page.items]
        assert names == ["lake 2", "lake 1", "lake 0", "lake.csv"]

    def test_registrations_and_a_validator_s_owners(self, node: Node) -> None:
        page = node.list_registrations(role="owner", validator=VALIDATOR)
        assert (page.count, page.cursor) == (1, None)
        assert page.items[0] == Registration(OWNER, "owner", VALIDATOR, False, 5, 1)
        assert node.list_registrations().count == 4

    def test_instructions_of_a_file_are_read_and_checked(self, node: Node, server: MarketServer) -> None:
        server.scene.reprice(300, 3)
        page = node.list_instructions(file=FILE)
        assert [item.signed.instruction for item in page.items] == [
            UpdatePrice(VALIDATOR, 3, 0, FILE, 300),
            server.scene.listing.instruction,
        ]
        for item in page.items:
            item.check(DOMAIN)
        other = msgspec.structs.replace(page.items[0].signed, id=ZERO_HASH)
        with pytest.raises(InvalidProof):
            msgspec.structs.replace(page.items[0], signed=other).check(DOMAIN)
        forged = msgspec.structs.replace(page.items[0].signed.instruction, price=1)
        with pytest.raises(InvalidSignature):
            msgspec.structs.replace(
                page.items[0], signed=msgspec.structs.replace(page.items[0].signed, instruction=forged)
            ).check(DOMAIN)

    def test_a_purchase_comes_with_the_sealed_key(self, node: Node, server: MarketServer) -> None:
        with pytest.raises(NotFound):
            node.get_purchase(FILE, MART)
        bought = server.scene.buy()
        purchase = node.get_purchase(FILE, MART)
        assert (purchase.file, purchase.buyer, purchase.receipt.id) == (FILE, MART, bought.id)
        assert purchase.sealed_key is not None and len(purchase.sealed_key) == 81
        assert purchase.key_hash == make_listing().key_hash

    def test_entries_of_the_registry_come_with_their_proof(self, node: Node, server: MarketServer) -> None:
        for committed in (node.get_file_proof(FILE, "latest"), node.get_roles_proof(OWNER, 3)):
            assert committed.epoch == committed.commitment.epoch == 3
            check_registry_proof(committed.proof, committed.commitment.extra_root)
        entry = node.get_file_proof(FILE, 3).proof.entry
        assert entry == FileEntry(server.scene.replay.state.files[FILE])


class TestAsync:
    async def test_it_says_the_same_as_the_blocking_one(self, url: str, node: Node, server: MarketServer) -> None:
        server.scene.buy()
        signed = server.scene.sign(Register(VALIDATOR, 3, 0, "mart"))
        async with AsyncNode(url) as other:
            sent = await other.send_instruction(signed.instruction, signed.signature)
            assert sent == node.get_any_receipt(signed.id) == await other.get_any_receipt(signed.id)
            assert await other.get_file(FILE) == node.get_file(FILE)
            assert await other.list_files(tags=("lake",)) == node.list_files(tags=("lake",))
            assert await other.get_purchase(FILE, MART) == node.get_purchase(FILE, MART)
            assert await other.list_registrations(role="mart") == node.list_registrations(role="mart")
            assert await other.list_instructions(file=FILE) == node.list_instructions(file=FILE)
            assert await other.get_file_proof(FILE, 3) == node.get_file_proof(FILE, 3)
            assert await other.get_roles_proof(OWNER, 3) == node.get_roles_proof(OWNER, 3)
            listing, upload = server.scene.listing, server.scene.upload
            both = await other.send_upload(listing.instruction, listing.signature, upload.payment, upload.signature)
            assert [held.id for held in both] == [listing.id, upload.id]


def change_market(**fields: Any) -> dict[str, Any]:
    return {**PARAMETERS.to_json(), **fields}


@pytest.mark.parametrize(
    "parameters",
    [
        {name: value for name, value in PARAMETERS.to_json().items() if name != "commission"},
        change_market(commission="501"),
        change_market(commission="10001", ownerShare="0", validatorShare="0"),
        change_market(commission=500),
        change_market(storageRates=None),
        change_market(storageRates={"0x" + TOKEN.hex(): "0"}),
        change_market(storageRates={wire.encode_address(TOKEN): "1"}),
        change_market(storageRates={"0x12": "1"}),
        change_market(storageRates={f"0x{number:040x}": "1" for number in range(33)}),
    ],
)
def test_only_the_market_s_parameters_as_the_ledger_has_them_are_taken(
    server: MarketServer, parameters: dict[str, Any]
) -> None:
    with pytest.raises(BadReply):
        protocol.get_info().read({**server.tally_getInfo(), "parameters": parameters})


def test_parameters_without_any_storage_rate_are_taken(server: MarketServer) -> None:
    parameters = msgspec.structs.replace(PARAMETERS, market=Market())
    assert protocol.decode_parameters(parameters.to_json()) == parameters


@pytest.mark.parametrize("escrow", [7, {}, {"publicKey": None}, {"publicKey": "0x04" + "11" * 32}, {"publicKey": "0x"}])
def test_an_escrow_is_a_compressed_public_key(server: MarketServer, escrow: Any) -> None:
    with pytest.raises(BadReply):
        protocol.get_info().read({**server.tally_getInfo(), "escrow": escrow})
    assert protocol.get_info().read({**server.tally_getInfo(), "escrow": None}).escrow is None


CALLS: list[Call[Any]] = [
    market.send_instruction(Register(VALIDATOR, 0, 0, "mart"), bytes(65)),
    market.get_file(FILE),
    market.list_files(),
    market.get_purchase(FILE, MART),
    market.list_registrations(),
    market.list_instructions(),
    market.get_file_proof(FILE, 1),
    market.get_roles_proof(OWNER, 1),
    protocol.get_any_receipt(FILE),
]


@pytest.mark.parametrize("result", [None, [], "text", {}, 7, [{}, {}]])
@pytest.mark.parametrize("call", CALLS, ids=lambda call: getattr(call, "method", repr(call)))
def test_a_result_of_another_form_is_a_bad_reply(call: Call[Any], result: Any) -> None:
    with pytest.raises(BadReply):
        call.read(result)


def test_no_member_of_an_answer_may_be_missing_or_of_another_kind(server: MarketServer) -> None:
    server.scene.buy()
    file, mart = wire.encode_bytes(FILE), wire.encode_address(MART)
    answers = [
        (market.get_file(FILE), server.tally_getFile(file)),
        (market.get_purchase(FILE, MART), server.tally_getPurchase(file, mart)),
        (market.get_file_proof(FILE, 3), server.tally_getFileProof(file, "latest")),
    ]
    for call, form in answers:
        call.read(form)
        for name in form:
            if name in ("prices", "shares", "isKeyInEscrow"):
                continue  # shown only
            for other in ({}, {name: {"x": 1}}, {name: -1}):
                changed = {**copy.deepcopy(form), **other}
                if not other:
                    del changed[name]
                with pytest.raises(BadReply):
                    call.read(changed)


@pytest.mark.parametrize("sealed", ["", "0x", "0x12", "0x" + "zz" * 81, "0x" + "11" * 80, "0x" + "11" * 82, 7])
def test_a_sealed_key_has_81_bytes(server: MarketServer, sealed: Any) -> None:
    server.scene.buy()
    form = server.tally_getPurchase(wire.encode_bytes(FILE), wire.encode_address(MART))
    with pytest.raises(BadReply):
        market.get_purchase(FILE, MART).read({**form, "sealedKey": sealed})
    assert market.get_purchase(FILE, MART).read({**form, "sealedKey": None}).sealed_key is None


def test_a_quote_whose_total_is_not_its_payment_s_is_a_bad_reply(server: MarketServer) -> None:
    form = server.tally_quote("purchase", {"from": wire.encode_address(MART), "reference": wire.encode_bytes(FILE)})
    assert protocol.quote("purchase", {}).read(form).total == PRICE
    with pytest.raises(BadReply, match="in all"):
        protocol.quote("purchase", {}).read({**form, "total": hex(PRICE - 1)})
