"""The audit: an honest ledger passes, and whatever is altered anywhere is named."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import plyvel
import pytest

from chain.block import Block, Deposit, build_records_tree, encode_block, encode_record, hash_header
from chain.commitment import hash_commitment
from chain.encoding import encode_u64
from chain.instruction import compute_instruction_id
from chain.primitives import ETHER
from chain.signatures import sign_digest
from client.audit import Auditor, AuditReport, ContractAudit, Findings, NodeSource
from client.audit.events import BlockRead, EpochCut, EpochSealed, Event, Unreadable
from client.audit.journal import JournalSource, NoJournal
from client.node import Node
from client.settlement import Ethereum, SettlementReader
from node.entries import BLOCK_PREFIX, encode_asset, encode_cut, encode_genesis, encode_seal
from node.index import IndexWriter
from node.journal import LevelDBJournal
from tests.unit.client.ledger_server import LedgerServer
from tests.unit.client.market_scene import MarketScene, MarketServer, make_listing
from tests.unit.client.scene import (
    BOB,
    BOB_KEY,
    DOMAIN,
    OPERATOR,
    OPERATOR_KEY,
    PARAMETERS,
    SETTLEMENT,
    TOKEN,
    Contract,
    Scene,
)
from tests.unit.client.servers import answer_json_rpc, serve


@pytest.fixture
def scene() -> Scene:
    return Scene()


def audit(events: list[Event], contract: Contract | None = None) -> tuple[AuditReport, Findings]:
    findings = Findings()
    checked = None
    if contract is not None:
        checked = ContractAudit(SettlementReader(Ethereum(contract), SETTLEMENT), findings)
    report = Auditor(PARAMETERS, OPERATOR, findings, checked).run(events)
    return report, findings


def name_all(findings: Findings) -> list[str]:
    return [f"{found.where}: {found.what}" for found in findings.kept]


def replace(value: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(value, **fields)


class TestHonestLedgers:
    def test_everything_agrees(self, scene: Scene) -> None:
        report, findings = audit(scene.events, Contract(scene))
        assert name_all(findings) == []
        assert findings.remarks == []
        assert (report.blocks, report.payments, report.deposits, report.epochs) == (5, 5, 3, 2)
        assert (report.confirmed_epochs, report.confirmed_deposits) == (2, 3)
        assert report.is_replayed
        assert report.totals == {ETHER: 0, TOKEN: 1340}

    def test_an_epoch_that_is_not_on_ethereum_yet_is_a_remark(self, scene: Scene) -> None:
        contract = Contract(scene)
        contract.commitments = contract.commitments[:1]
        events = [replace(event, included_at=None, l1_transaction=None) if isinstance(event, EpochSealed) else event
                  for event in scene.events]  # fmt: skip
        report, findings = audit(events, contract)
        assert name_all(findings) == []
        assert "not on Ethereum" in findings.remarks[0]
        assert report.confirmed_epochs == 1

    def test_a_ledger_that_has_not_begun_agrees_too(self, scene: Scene) -> None:
        contract = Contract(scene)
        contract.commitments, contract.deposits = [], []
        report, findings = audit(scene.events[:2], contract)
        assert (report.blocks, name_all(findings)) == (0, [])


def alter_block(position: int, change: Callable[[Block], Block], *, is_signed: bool = False) -> Callable[[Scene], Any]:
    """The events with the `position`-th block changed, and signed by the operator if it lies on purpose."""

    def alter(scene: Scene) -> list[Event]:
        events = list(scene.events)
        places = [place for place, event in enumerate(events) if isinstance(event, BlockRead)]
        event = events[places[position]]
        assert isinstance(event, BlockRead)
        block = change(event.block)
        signature = sign_digest(OPERATOR_KEY, hash_header(block.header, DOMAIN)) if is_signed else event.signature
        events[places[position]] = BlockRead(block, signature)
        return events

    return alter


def alter_record(place: int, **fields: Any) -> Callable[[Block], Block]:
    def change(block: Block) -> Block:
        records = list(block.records)
        record = records[place]
        if not isinstance(record, Deposit) and "id" not in fields and "signature" not in fields:
            records[place] = replace(record, payment=replace(record.payment, **fields))
        else:
            records[place] = replace(record, **fields)
        return Block(block.header, tuple(records))

    return change


def alter_header(**fields: Any) -> Callable[[Block], Block]:
    return lambda block: Block(replace(block.header, **fields), block.records)


def alter_sealed(position: int, *, is_signed: bool = True, **fields: Any) -> Callable[[Scene], Any]:
    def alter(scene: Scene) -> list[Event]:
        events = list(scene.events)
        places = [place for place, event in enumerate(events) if isinstance(event, EpochSealed)]
        event = events[places[position]]
        assert isinstance(event, EpochSealed)
        own = {name: fields[name] for name in fields if name in ("signature", "l1_transaction", "included_at")}
        line = {name[5:]: value for name, value in fields.items() if name.startswith("line_")}
        rest = {name: value for name, value in fields.items() if name not in own and not name.startswith("line_")}
        commitment = replace(event.commitment, **rest)
        if line:
            lines = list(commitment.assets)
            lines[1] = replace(lines[1], **line)
            commitment = replace(commitment, assets=tuple(lines))
        signature = sign_digest(OPERATOR_KEY, hash_commitment(commitment, DOMAIN)) if is_signed else event.signature
        events[places[position]] = replace(event, **{"commitment": commitment, "signature": signature, **own})
        return events

    return alter


def drop(kind: type[Event], position: int) -> Callable[[Scene], Any]:
    def alter(scene: Scene) -> list[Event]:
        places = [place for place, event in enumerate(scene.events) if isinstance(event, kind)]
        return [event for place, event in enumerate(scene.events) if place != places[position]]

    return alter


LIES = {
    "a payment's nonce": (alter_block(1, alter_record(1, nonce=9)), "record 1 of block 2"),
    "a payment's payer": (alter_block(1, alter_record(1, payer=BOB)), "record 1 of block 2"),
    "a payment's id": (alter_block(1, alter_record(0, id=b"\x01" * 32)), "block 2"),
    "a payment's signature": (alter_block(1, alter_record(0, signature=b"\x01" * 65)), "record 0 of block 2"),
    "a deposit's amount": (alter_block(0, alter_record(1, amount=501)), "record 1 of block 1"),
    "a deposit's account": (alter_block(0, alter_record(0, account=BOB)), "record 0 of block 1"),
    "a deposit's L1 block": (alter_block(0, alter_record(0, l1_block=77)), "record 0 of block 1"),
    "a deposit's L1 transaction": (alter_block(0, alter_record(0, l1_transaction=bytes(32))), "record 0 of block 1"),
    "a deposit's id": (alter_block(0, alter_record(0, id=bytes(32))), "record 0 of block 1"),
    "a header's timestamp": (alter_block(2, alter_header(timestamp=1)), "block 3"),
    "a header's number": (alter_block(2, alter_header(number=9)), "block 9"),
    "a header's previous": (alter_block(2, alter_header(previous=bytes(32))), "block 3"),
    "a header's root": (alter_block(2, alter_header(records_root=bytes(32))), "block 3"),
    "a header's count": (alter_block(2, alter_header(record_count=7)), "block 3"),
    "a header that the operator signed anew": (
        alter_block(2, lambda block: alter_header(timestamp=block.header.timestamp + 1)(block), is_signed=True),
        "epoch 1",
    ),
    "a dropped block": (drop(BlockRead, 2), "block 4"),
    "a dropped cut": (drop(EpochCut, 0), "epoch 1"),
    "a dropped commitment": (drop(EpochSealed, 0), "epoch 2"),
    "the last commitment dropped": (drop(EpochSealed, 1), "epoch 2"),
    "a commitment's state root": (alter_sealed(0, line_state_root=bytes(32)), "epoch 1"),
    "a commitment's total": (alter_sealed(0, line_total=1), "epoch 1"),
    "a commitment's withdrawn": (alter_sealed(1, line_withdrawn=199), "epoch 2"),
    "a commitment's withdrawals": (alter_sealed(1, line_withdrawals_root=bytes(32)), "epoch 2"),
    "a commitment's account count": (alter_sealed(1, line_account_count=1), "epoch 2"),
    "a commitment's deposit count": (alter_sealed(1, line_deposit_count=2), "epoch 2"),
    "a commitment's asset": (alter_sealed(1, line_asset=b"\x11" * 20), "epoch 2"),
    "a commitment's blocks root": (alter_sealed(0, blocks_root=bytes(32)), "epoch 1"),
    "a commitment's extra root": (alter_sealed(0, extra_root=b"\x01" * 32), "epoch 1"),
    "a commitment's previous": (alter_sealed(1, previous=bytes(32)), "epoch 2"),
    "a commitment's range": (alter_sealed(0, last_block=4), "epoch 1"),
    "a commitment's time": (alter_sealed(0, cut_at=1), "epoch 1"),
    "a commitment's number": (alter_sealed(0, epoch=3), "epoch 3"),
    "a commitment's signature": (alter_sealed(0, is_signed=False, signature=b"\x01" * 65), "epoch 1"),
    "a commitment's L1 transaction": (alter_sealed(0, l1_transaction=bytes(32)), "epoch 1"),
    "a commitment's time of inclusion": (alter_sealed(0, included_at=5), "epoch 1"),
    "something unreadable": (
        lambda scene: [*scene.events[:3], Unreadable("block 2", "gone"), *scene.events[4:]],
        "block 2",
    ),
}


class TestLies:
    @pytest.mark.parametrize("name", LIES)
    def test_each_is_named_where_it_is_and_the_audit_goes_on(self, scene: Scene, name: str) -> None:
        alter, where = LIES[name]
        report, findings = audit(alter(scene), Contract(scene))
        assert findings.count > 0
        assert any(found.where == where for found in findings.kept), name_all(findings)
        assert report.blocks >= 4

    def test_after_a_broken_record_what_stands_by_itself_is_still_checked(self, scene: Scene) -> None:
        events = alter_block(0, alter_record(1, amount=501))(scene)
        scene.events = events
        later = alter_block(4, alter_record(0, signature=b"\x01" * 65))(scene)
        report, findings = audit(later, Contract(scene))
        assert not report.is_replayed
        assert {"record 1 of block 1", "record 0 of block 5"} <= {found.where for found in findings.kept}
        assert report.epochs == 2

    def test_without_a_contract_the_records_alone_still_find_it(self, scene: Scene) -> None:
        _, findings = audit(alter_sealed(0, line_total=1)(scene))
        assert any("total is 0x1" in line for line in name_all(findings))

    def test_a_flood_of_disagreements_is_counted_and_not_kept(self) -> None:
        findings = Findings()
        for place in range(2000):
            findings.add(f"block {place}", "wrong")
        assert (findings.count, len(findings.kept)) == (2000, 1000)


class TestTheContract:
    """The ledger is honest; what Ethereum has is another story."""

    def check(self, scene: Scene, contract: Contract, text: str) -> None:
        _, findings = audit(scene.events, contract)
        assert any(text in line for line in name_all(findings)), name_all(findings)

    def test_another_commitment(self, scene: Scene) -> None:
        contract = Contract(scene)
        commitment, signature, included_at = contract.commitments[0]
        contract.commitments[0] = replace(commitment, extra_root=b"\x01" * 32), signature, included_at
        self.check(scene, contract, "Ethereum has commitment")

    def test_a_log_that_is_not_what_is_stored(self, scene: Scene) -> None:
        contract = Contract(scene)
        contract.get_stored_hash = lambda epoch: b"\x01" * 32  # type: ignore[method-assign]
        self.check(scene, contract, "the contract stores")

    def test_an_epoch_more_than_the_ledger_shows(self, scene: Scene) -> None:
        contract = Contract(scene)
        commitment, signature, included_at = contract.commitments[-1]
        contract.commitments.append((replace(commitment, epoch=3), signature, included_at))
        self.check(scene, contract, "the contract has 3 epochs")

    def test_another_signature(self, scene: Scene) -> None:
        contract = Contract(scene)
        commitment, _, included_at = contract.commitments[0]
        contract.commitments[0] = commitment, sign_digest(BOB_KEY, hash_commitment(commitment, DOMAIN)), included_at
        self.check(scene, contract, "the signature on Ethereum is another")

    def test_another_deposit(self, scene: Scene) -> None:
        contract = Contract(scene)
        contract.deposits[1] = replace(contract.deposits[1], amount=499)
        self.check(scene, contract, "the contract queued 499")

    def test_more_paid_out_than_the_commitments_let_go(self, scene: Scene) -> None:
        contract = Contract(scene)
        contract.paid_out = 201
        self.check(scene, contract, "paid out 201")

    @pytest.mark.parametrize(
        ("attribute", "value", "text"),
        [
            ("operator", BOB, "operator"),
            ("native_asset", TOKEN, "native asset"),
            ("chain_id", 1, "L1 chain id"),
            ("assets", [TOKEN, ETHER], "does not list there"),
        ],
    )
    def test_another_deployment(self, scene: Scene, attribute: str, value: Any, text: str) -> None:
        contract = Contract(scene)
        setattr(contract, attribute, value)
        self.check(scene, contract, text)

    def test_an_endpoint_that_fails_in_between_is_named(self, scene: Scene) -> None:
        class Failing(Contract):
            def eth_getTransactionReceipt(self, name: str) -> Any:
                return {"logs": "nonsense"} if name.endswith("0") else None

        _, findings = audit(scene.events, Failing(scene))
        assert findings.count > 0


class TestNodeSource:
    @pytest.fixture
    def server(self, scene: Scene) -> LedgerServer:
        return LedgerServer(scene)

    @pytest.fixture
    def node(self, server: LedgerServer) -> Iterator[Node]:
        with serve(answer_json_rpc(server)) as url, Node(url, sleep=lambda _: None) as opened:
            yield opened

    def read(self, node: Node, scene: Scene) -> tuple[AuditReport, Findings]:
        findings = Findings()
        contract = ContractAudit(SettlementReader(Ethereum(Contract(scene)), SETTLEMENT), findings)
        source = NodeSource(node)
        return Auditor(source.parameters, source.operator, findings, contract).run(source.read()), findings

    def test_a_running_node_is_read_whole(self, node: Node, scene: Scene) -> None:
        report, findings = self.read(node, scene)
        assert name_all(findings) == []
        assert (report.blocks, report.epochs, report.confirmed_epochs) == (5, 2, 2)

    def test_what_comes_meanwhile_is_for_the_next_audit(self, node: Node, scene: Scene) -> None:
        source = NodeSource(node)
        scene.seal()
        events = list(source.read())
        assert len([event for event in events if isinstance(event, BlockRead)]) == 5
        assert len([event for event in events if isinstance(event, EpochSealed)]) == 2

    def test_a_block_that_the_node_does_not_give_is_named(self, node: Node, scene: Scene, server: LedgerServer) -> None:
        give = server.tally_getBlock
        server.tally_getBlock = lambda number: {} if number == "0x3" else give(number)  # type: ignore[method-assign]
        report, findings = self.read(node, scene)
        assert any(line.startswith("block 3: the node does not give it") for line in name_all(findings))
        assert not report.is_replayed
        assert report.epochs == 2

    def test_a_commitment_that_the_node_does_not_give_is_named(
        self, node: Node, scene: Scene, server: LedgerServer
    ) -> None:
        give = server.tally_getCommitment
        server.tally_getCommitment = lambda epoch: {} if epoch == "0x1" else give(epoch)  # type: ignore[method-assign]
        report, findings = self.read(node, scene)
        assert any(line.startswith("epoch 1: the node does not give its commitment") for line in name_all(findings))
        assert report.blocks == 5

    def test_a_ledger_without_blocks(self, node: Node, server: LedgerServer) -> None:
        server.scene.blocks.clear()
        server.scene.sealed.clear()
        assert [type(event).__name__ for event in NodeSource(node).read()] == ["AssetListed", "AssetListed"]


class TestJournals:
    @pytest.fixture
    def data_dir(self, scene: Scene, tmp_path: Path) -> Path:
        """What a stopped node leaves: a journal with signatures, and its index."""
        directory = tmp_path / "node"
        journal = LevelDBJournal(directory / "journal")
        journal.append(0, encode_genesis(PARAMETERS))
        for event in scene.events:
            if isinstance(event, BlockRead):
                block = event.block
                number = block.header.number
                entry = BLOCK_PREFIX + encode_block(block.header, [encode_record(record) for record in block.records])
                journal.append(journal.height, entry, number)
                assert event.signature is not None
                journal.put_signature(number, event.signature)
            elif isinstance(event, EpochCut):
                journal.append(journal.height, encode_cut(event.epoch, event.cut_at))
            elif isinstance(event, EpochSealed):
                journal.append(journal.height, encode_seal(event.commitment, event.signature))
            else:
                journal.append(journal.height, encode_asset(event.asset))  # type: ignore[union-attr]
        writer = IndexWriter(directory / "index.sqlite", PARAMETERS.genesis_hash)
        writer.apply(journal.read(0))
        writer.close()
        journal.close()
        return directory

    def audit(self, data_dir: Path, scene: Scene) -> tuple[AuditReport, Findings]:
        findings = Findings()
        source = JournalSource(data_dir, findings)
        try:
            contract = ContractAudit(SettlementReader(Ethereum(Contract(scene)), SETTLEMENT), findings)
            report = Auditor(source.parameters, OPERATOR, findings, contract).run(source.read())
            source.compare_index()
        finally:
            source.close()
        return report, findings

    def test_an_honest_one_agrees(self, data_dir: Path, scene: Scene) -> None:
        report, findings = self.audit(data_dir, scene)
        assert name_all(findings) == []
        assert (report.blocks, report.epochs, report.confirmed_deposits) == (5, 2, 3)

    def test_one_altered_byte_of_any_stored_value_is_named(self, data_dir: Path, scene: Scene, tmp_path: Path) -> None:
        with plyvel.DB(str(data_dir / "journal")) as db:
            stored = list(db.iterator())
        assert {key[:1] for key, _ in stored} == {b"e", b"n", b"s"}
        work = tmp_path / "altered"
        shutil.copytree(data_dir, work)
        for key, value in stored:
            for place in {0, len(value) // 3, len(value) // 2, len(value) - 1}:
                altered = bytearray(value)
                altered[place] ^= 0x04
                with plyvel.DB(str(work / "journal")) as db:
                    db.put(key, bytes(altered))
                try:
                    _, findings = self.audit(work, scene)
                    assert findings.count, f"byte {place} of {key!r} was altered and nothing noticed"
                except NoJournal:
                    assert key == b"e" + encode_u64(0)
            with plyvel.DB(str(work / "journal")) as db:
                db.put(key, value)
        assert name_all(self.audit(work, scene)[1]) == []

    @pytest.mark.parametrize(
        ("key", "where"),
        [
            (b"e" + encode_u64(4), "journal entry 4"),
            (b"s" + encode_u64(2), "block 2"),
            (b"n" + encode_u64(3), "block 3"),
        ],
    )
    def test_a_missing_value_is_named(self, data_dir: Path, scene: Scene, key: bytes, where: str) -> None:
        with plyvel.DB(str(data_dir / "journal")) as db:
            db.delete(key)
        _, findings = self.audit(data_dir, scene)
        assert any(found.where == where for found in findings.kept), name_all(findings)

    def test_signatures_lost_at_the_end_are_a_remark(self, data_dir: Path, scene: Scene) -> None:
        with plyvel.DB(str(data_dir / "journal")) as db:
            db.delete(b"s" + encode_u64(5))
        _, findings = self.audit(data_dir, scene)
        assert name_all(findings) == []
        assert "not signed yet" in findings.remarks[0]

    def test_an_altered_row_of_the_index_is_named(self, data_dir: Path, scene: Scene) -> None:
        import sqlite3

        with sqlite3.connect(data_dir / "index.sqlite") as db:
            db.execute("UPDATE payments SET nonce = nonce + 1 WHERE nonce = 2")
        db.close()
        _, findings = self.audit(data_dir, scene)
        assert any(found.where == "index" and "payments" in found.what for found in findings.kept)

    def test_a_missing_index_is_a_remark(self, data_dir: Path, scene: Scene) -> None:
        (data_dir / "index.sqlite").unlink()
        _, findings = self.audit(data_dir, scene)
        assert name_all(findings) == []
        assert "no index" in findings.remarks[0]

    def test_no_journal_and_a_journal_in_use_are_said_to_be_so(self, data_dir: Path, tmp_path: Path) -> None:
        with pytest.raises(NoJournal, match="no journal"):
            JournalSource(tmp_path, Findings())
        running = LevelDBJournal(data_dir / "journal")
        with pytest.raises(NoJournal, match="still running"):
            JournalSource(data_dir, Findings())
        running.close()


class TestDataExchange:
    """Roles, listings and what is paid for them are audited like everything else."""

    @pytest.fixture
    def market(self) -> MarketScene:
        scene = MarketScene()
        scene.buy()
        scene.reprice(300, 3)
        scene.seal()
        return scene

    def test_everything_agrees(self, market: MarketScene) -> None:
        report, findings = audit(market.events, Contract(market))
        assert name_all(findings) == []
        assert (report.blocks, report.payments, report.instructions, report.deposits) == (11, 7, 6, 5)
        assert report.is_replayed and report.confirmed_epochs == 4

    @pytest.mark.parametrize("is_replaying", [True, False], ids=["while replaying", "after the replay stopped"])
    @pytest.mark.parametrize(
        ("fields", "problem"),
        [
            ({"price": 1}, "its content gives id"),
            ({"name": ""}, "malformed_instruction"),
            ({"account": BOB}, "invalid_signature"),
        ],
    )
    def test_an_altered_instruction_is_named(
        self, market: MarketScene, fields: dict[str, Any], problem: str, is_replaying: bool
    ) -> None:
        if not is_replaying:
            market.events.insert(2, Unreadable("the beginning", "something is missing"))
        place = next(
            place
            for place, event in enumerate(market.events)
            if isinstance(event, BlockRead) and market.listing in event.block.records
        )
        event = market.events[place]
        assert isinstance(event, BlockRead)
        instruction = replace(market.listing.instruction, **fields)
        instruction_id = compute_instruction_id(instruction, DOMAIN) if "account" in fields else market.listing.id
        forged = replace(market.listing, id=instruction_id, instruction=instruction)
        market.events[place] = replace(event, block=Block(event.block.header, (forged, market.upload)))
        report, findings = audit(market.events, Contract(market))
        assert not report.is_replayed
        name = f"record 0 of block {event.block.header.number}: instruction 0x{forged.id.hex()}"
        assert any(found.startswith(name) and problem in found for found in name_all(findings))

    def test_a_registry_that_does_not_follow_from_the_records_is_named(self, market: MarketScene) -> None:
        events = alter_sealed(2, extra_root=b"\x01" * 32)(market)
        _, findings = audit(events)
        assert any("epoch 3: extraRoot is 0x0101" in found for found in name_all(findings))

    def test_a_listing_torn_from_its_payment_stops_the_replay(self) -> None:
        """Its owner was not registered, so that alone it is none."""
        scene = MarketScene()
        listing = scene.sign(make_listing(nonce=3, file=b"\x42" * 32, owner=BOB))
        header = replace(scene.blocks[-1][0].header, number=scene.replay.state.block_number + 1)
        header = replace(
            header,
            previous=scene.replay.state.block_hash,
            timestamp=scene.replay.state.last_cut_at + 1,
            records_root=build_records_tree([listing]).root,
            record_count=1,
        )
        signature = sign_digest(OPERATOR_KEY, hash_header(header, DOMAIN))
        events = [*scene.events, BlockRead(Block(header, (listing,)), signature)]
        report, findings = audit(events)
        assert not report.is_replayed
        assert "wrong_role" in name_all(findings)[0]

    def test_it_is_read_from_a_node(self, market: MarketScene) -> None:
        with serve(answer_json_rpc(MarketServer(market))) as url, Node(url) as node:
            source = NodeSource(node)
            report, findings = audit(list(source.read()), Contract(market))
        assert (name_all(findings), report.instructions, report.is_replayed) == ([], 6, True)
