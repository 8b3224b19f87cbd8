"""Altering what a stopped node keeps, value by value: `tally audit` names every one of them.

LevelDB's and SQLite's own interfaces are used, so that no checksum gets in before the audit does.
"""

import json
import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import plyvel
import pytest
from coincurve import PrivateKey

from chain import wire
from chain.block import Block, Header, Record, build_records_tree, encode_block, encode_record, hash_header
from chain.encoding import encode_u64
from chain.instruction import (
    INSTRUCTIONS,
    Delist,
    ListFile,
    Register,
    RegisterOwner,
    SignedInstruction,
    UpdatePrice,
    compute_instruction_id,
    get_type,
)
from chain.kinds import KIND_CODES
from chain.market import File, compute_daily_charge, compute_shares
from chain.params import Market
from chain.payment import SignedPayment
from chain.primitives import ETHER, ZERO_HASH
from chain.signatures import sign_digest
from client.audit import Auditor, ContractAudit, Findings
from client.audit.journal import JournalSource, NoJournal
from client.settlement import Ethereum, SettlementReader
from client.transport import HttpTransport, Reply
from devnet.bootstrap import open_keys
from node.entries import (
    BLOCK_PREFIX,
    AssetEntry,
    BlockEntry,
    CutEntry,
    GenesisEntry,
    SealEntry,
    decode_entry,
    encode_asset,
    encode_cut,
    encode_genesis,
    encode_seal,
)
from node.index.schema import TABLES
from tests.fault.lone_node import LoneNode, run_l1, set_up_network
from tests.network import Network, wait_until

SEED = int(os.environ.get("TALLY_TEST_SEED", "0")) or time.time_ns() % 2**32
FLIPS = 60
"""Bits flipped anywhere in the journal, one at a time."""

Change = tuple[bytes, bytes | None]
"""(key, new value; None removes it)"""

pytestmark = pytest.mark.long


class Stopped:
    """A stopped node's files, with what the tests aim at already found in them."""

    def __init__(self, network: Network, node: LoneNode) -> None:
        self.network = network
        self.node = node
        self.data_dir = node.data_dir
        self.ethereum = Ethereum(_Remembering(network.facts["l1Url"]))
        with closing(plyvel.DB(str(self.data_dir / "journal"))) as db:
            self.stored: dict[bytes, bytes] = dict(db)
        self.heights = sorted(int.from_bytes(key[1:], "big") for key in self.stored if key.startswith(b"e"))
        self.entries = {height: decode_entry(self.stored[entry_key(height)]) for height in self.heights}
        self.sealed_blocks = max(
            entry.commitment.last_block for entry in self.entries.values() if isinstance(entry, SealEntry)
        )

    def find(self, wanted: Callable[[Any], bool]) -> list[int]:
        """Heights of the entries of which that is true."""
        return [height for height, entry in self.entries.items() if wanted(entry)]

    def find_blocks(self, name: str, *, is_sealed: bool) -> list[int]:
        """Heights of blocks that hold a record of that name."""
        return self.find(
            lambda entry: (
                isinstance(entry, BlockEntry)
                and name in [name_record(record) for record in entry.block.records]
                and (entry.block.header.number <= self.sealed_blocks) == is_sealed
            )
        )


def name_record(record: Record) -> str:
    """What it is: a deposit, a kind of payment, a type of instruction."""
    if isinstance(record, SignedPayment):
        return record.payment.kind
    return get_type(record.instruction) if isinstance(record, SignedInstruction) else "deposit"


NAMES = ["deposit", *KIND_CODES, *INSTRUCTIONS]


class _Remembering:
    """Ethereum does not change while its node is stopped: every question is asked once."""

    def __init__(self, url: str) -> None:
        self._transport = HttpTransport(url)
        self._replies: dict[bytes, Reply] = {}

    @property
    def name(self) -> str:
        return self._transport.name

    def call(self, method: str, *params: Any) -> Any:
        return self.call_batch([(method, list(params))])[0].unwrap()

    def call_batch(self, batch: Any) -> list[Reply]:
        keys = [msgspec.json.encode(request) for request in batch]
        unknown = {key: request for key, request in zip(keys, batch, strict=True) if key not in self._replies}
        replies = self._transport.call_batch(list(unknown.values()))
        self._replies.update(zip(unknown, replies, strict=True))
        return [self._replies[key] for key in keys]

    def close(self) -> None:
        self._transport.close()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stopped]:
    directory = tmp_path_factory.mktemp("tampering")
    with run_l1(directory / "l1") as l1:
        with set_up_network(directory / "network", l1, "--epoch-seconds", "1") as network:
            for number in range(2):
                trade_in_every_way(network, number)
                sent = pay_in_every_way(network, number)
                network.wait_for_status(sent, "committed")
            trade_in_every_way(network, 2)
            pay_in_every_way(network, 2)
            network.kill_node()  # before it can cut: the last blocks are in the open epoch
            network.stop()
        found = Stopped(network, LoneNode(network))
        yield found
        found.ethereum.close()


def pay_in_every_way(network: Network, number: int) -> str:
    """The id of the last payment."""
    someone, reference = bytes([0x50 + number]) * 20, bytes([0x60 + number]) * 32
    payments = [
        network.sign(0, [(someone, 5), (network.addresses[2], 7)], memo=f"number {number}", valid_until=2**40),
        network.sign(1, [(someone, 3)], kind="tip", reference=reference),
        network.sign(2, [(network.addresses[2], 11)], kind="withdraw"),
        network.sign(3, [(network.addresses[4], 13)], asset=ETHER),
    ]
    answers = network.batch([("tally_sendPayment", params) for params in payments])
    sent: str = answers[-1]["result"]["id"]
    return sent


def trade_in_every_way(network: Network, number: int) -> None:
    """Every instruction, and every payment of the data exchange, by accounts that `pay_in_every_way` leaves alone; and
    each time somebody else is named as an owner. In one batch, so that no epoch is cut in between."""
    validator, mart, node, owner = 5, 6, 7, 8
    nonces = {account: network.next_nonce(account) for account in (validator, mart, node, owner)}
    parameters = network.call("tally_getInfo")["parameters"]
    market = Market(
        validator_share=int(parameters["validatorShare"]),
        owner_share=int(parameters["ownerShare"]),
        commission=int(parameters["commission"]),
        storage_rates=((network.token, int(parameters["storageRates"]["0x" + network.token.hex()])),),
    )
    calls: list[tuple[str, list[Any]]] = []

    def take_nonce(account: int) -> int:
        nonces[account] += 1
        return nonces[account] - 1

    def sign(account: int, instruction_type: type, **fields: Any) -> list[Any]:
        instruction = instruction_type(
            account=network.addresses[account], nonce=take_nonce(account), valid_until=0, **fields
        )
        signature = sign_digest(network.keys[account], compute_instruction_id(instruction, network.domain))
        return [wire.encode_instruction(instruction), wire.encode_bytes(signature)]

    def instruct(account: int, instruction_type: type, **fields: Any) -> None:
        calls.append(("tally_sendInstruction", sign(account, instruction_type, **fields)))

    def pay(account: int, outputs: list[tuple[bytes, int]], kind: str) -> list[Any]:
        return network.sign(account, outputs, take_nonce(account), kind=kind, reference=file.id)

    roles = {validator: "validator", mart: "mart", node: "service_node"}
    under = owner
    if number:  # what nobody has yet
        roles, under = ({mart: "service_node"}, node) if number == 1 else ({node: "mart"}, mart)
    for account, role in roles.items():
        instruct(account, Register, role=role)
    instruct(under, RegisterOwner, validator=network.addresses[validator])
    file = File(
        id=bytes([0x80 + number]) * 32,
        validator=network.addresses[validator],
        owner=bytes([0x70 + number]) * 20,
        asset=network.token,
        price=2000 + number,
        size=2**30,
        storage_days=30,
        keep_until=0,
        service_node=network.addresses[node],
        listing=ZERO_HASH,
    )
    listing = {
        "file": file.id,
        "owner": file.owner,
        "asset": file.asset,
        "price": 1000 + number,
        "size": file.size,
        "storage_days": file.storage_days,
        "content_hash": bytes([number + 1]) * 32,
        "name": f"Rainfall {2020 + number}",
        "media_type": "text/csv",
        "tags": ("weather", f"rain {number}"),
        "description": "Daily, by station.",
        "key_hash": bytes([number + 2]) * 32,
        "sealed_key": b"",
    }
    charge = compute_daily_charge(file.size, file.asset, market)
    listed = sign(validator, ListFile, **listing)
    calls.append(("tally_sendUpload", [*listed, *pay(validator, [(file.service_node, 30 * charge)], "upload")]))
    instruct(validator, UpdatePrice, file=file.id, price=file.price)
    calls.append(("tally_sendPayment", pay(mart, compute_shares(file, market), "purchase")))
    calls.append(("tally_sendPayment", pay(validator, [(file.service_node, 3 * charge)], "extend")))
    ended = bytes([0x90 + number]) * 32
    instruct(validator, ListFile, **listing | {"file": ended, "owner": network.addresses[owner]})
    instruct(validator, Delist, file=ended)
    for answer in network.batch(calls):
        assert "result" in answer, answer


# --- the alterations


def entry_key(height: int) -> bytes:
    return b"e" + encode_u64(height)


def flip(value: Any) -> Any:
    """Another value of the same type, and of the same size if it has one."""
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1]) if value else b"\1"
    if isinstance(value, str):
        return value[:-1] + chr(ord(value[-1]) ^ 1) if value else "x"
    return value + 1


def alter_fields(record: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    """(what, the record with one value altered), for every value in it."""
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if name == "kind":
            yield name, msgspec.structs.replace(record, kind="tip" if value != "tip" else "transfer")
        elif isinstance(value, msgspec.Struct):
            for inner, altered in alter_fields(value):
                yield f"{name}.{inner}", msgspec.structs.replace(record, **{name: altered})
        elif isinstance(value, tuple):
            for place, item in enumerate(value):
                for inner, altered in alter_item(item):
                    items = (*value[:place], altered, *value[place + 1 :])
                    yield f"{name}[{place}].{inner}", msgspec.structs.replace(record, **{name: items})
            yield f"{name} without the last", msgspec.structs.replace(record, **{name: value[:-1]})
        elif isinstance(value, bytes | str) or type(value) is int:
            yield name, msgspec.structs.replace(record, **{name: flip(value)})


def alter_item(item: Any) -> Iterator[tuple[str, Any]]:
    """Of a list: a record of its own, a pair, or one value."""
    if isinstance(item, msgspec.Struct):
        yield from alter_fields(item)
    elif isinstance(item, tuple):
        for place, value in enumerate(item):
            yield f"{place}", (*item[:place], flip(value), *item[place + 1 :])
    else:
        yield "value", flip(item)


def encode_block_entry(block: Block) -> bytes:
    return BLOCK_PREFIX + encode_block(block.header, [encode_record(record) for record in block.records])


def list_alterations(stopped: Stopped) -> Iterator[tuple[str, list[Change]]]:
    """(what, changes), for every kind of stored value, in an epoch that Ethereum has and in the open one."""
    genesis = stopped.entries[0]
    assert isinstance(genesis, GenesisEntry)
    for name, parameters in alter_fields(genesis.parameters):
        yield f"genesis {name}", [(entry_key(0), encode_genesis(parameters))]
    for height in stopped.find(lambda entry: isinstance(entry, AssetEntry)):
        yield f"asset at {height}", [(entry_key(height), encode_asset(flip(stopped.entries[height].asset)))]  # type: ignore[union-attr]
    for name in NAMES:
        for is_sealed in (True, False) if name != "deposit" else (True,):
            height = stopped.find_blocks(name, is_sealed=is_sealed)[-1]
            state = "sealed" if is_sealed else "open"
            for what, data in alter_block(stopped.entries[height].block, name):  # type: ignore[union-attr]
                yield f"{state} {name} {what}", [(entry_key(height), data)]
    for height in stopped.find(lambda entry: isinstance(entry, CutEntry)):
        for name, cut in alter_fields(stopped.entries[height]):
            yield f"cut at {height}: {name}", [(entry_key(height), encode_cut(cut.epoch, cut.cut_at))]
    for height in stopped.find(lambda entry: isinstance(entry, SealEntry))[:1]:
        for name, seal in alter_fields(stopped.entries[height]):
            yield f"seal at {height}: {name}", [(entry_key(height), encode_seal(seal.commitment, seal.signature))]
    for prefix, name in ((b"n", "place"), (b"s", "signature")):
        keys = sorted(key for key in stopped.stored if key.startswith(prefix))
        for where, key in (("first", keys[0]), ("last", keys[-1])):
            yield f"{where} {name} altered", [(key, flip(stopped.stored[key]))]
        yield f"{name} removed", [(keys[0], None)]
        yield f"two of {name} swapped", [(keys[0], stopped.stored[keys[1]]), (keys[1], stopped.stored[keys[0]])]
        yield f"{name} of a block that is not there", [(prefix + encode_u64(10**6), stopped.stored[keys[0]])]
    yield "last place removed", [(max(key for key in stopped.stored if key.startswith(b"n")), None)]
    yield "a key of no kind", [(b"x" + encode_u64(1), b"1")]


def alter_block(block: Block, wanted: str) -> Iterator[tuple[str, bytes]]:
    """Its header, and the first record that has the name."""
    for name, header in alter_fields(block.header):
        yield f"header.{name}", encode_block_entry(Block(header, block.records))
    place = next(place for place, record in enumerate(block.records) if name_record(record) == wanted)
    for name, record in alter_fields(block.records[place]):
        if name != "authorisation":  # written as its own byte below: there is one form only
            records = (*block.records[:place], record, *block.records[place + 1 :])
            yield f"record.{name}", encode_block_entry(Block(block.header, records))
    if len(block.records) > 1:
        yield "records swapped", encode_block_entry(Block(block.header, (*block.records[1:], block.records[0])))
    fewer = block.records[:-1]
    header = msgspec.structs.replace(block.header, record_count=len(fewer))
    if fewer:
        yield "last record removed", encode_block_entry(Block(header, fewer))
    doubled = (*block.records, block.records[place])
    header = msgspec.structs.replace(block.header, record_count=len(doubled))
    yield "a record twice", encode_block_entry(Block(header, doubled))
    yield "a byte more", encode_block_entry(block) + b"\0"
    yield "a byte less", encode_block_entry(block)[:-1]
    yield "empty", b""


def list_rearrangements(stopped: Stopped) -> Iterator[tuple[str, list[Change]]]:
    """Entries removed (what follows moves up), left out (a gap), swapped, written twice."""
    values = [stopped.stored[entry_key(height)] for height in stopped.heights]

    def write(entries: list[bytes]) -> list[Change]:
        changes: list[Change] = [(entry_key(height), entry) for height, entry in enumerate(entries)]
        return changes + [(entry_key(height), None) for height in range(len(entries), len(values))]

    for kind in (GenesisEntry, AssetEntry, BlockEntry, CutEntry, SealEntry):
        heights = stopped.find(lambda entry, kind=kind: isinstance(entry, kind))  # type: ignore[misc]
        for where, height in (("first", heights[0]), ("last", heights[-1])):
            what = f"{where} {kind.__name__}"
            yield f"{what} removed", write(values[:height] + values[height + 1 :])
            yield f"{what} twice", write([*values[: height + 1], *values[height:]])
            if height < len(values) - 1:
                yield f"{what} left out", [(entry_key(height), None)]
            # A seal says the same before and after the next cut: there is nothing to name.
            if height < len(values) - 1 and not (
                kind is SealEntry and isinstance(stopped.entries[height + 1], CutEntry)
            ):
                yield (
                    f"{what} swapped with the next",
                    write([*values[:height], values[height + 1], values[height], *values[height + 2 :]]),
                )
    last_seal = stopped.find(lambda entry: isinstance(entry, SealEntry))[-1]
    yield "everything from the last seal on removed", write(values[:last_seal])
    yield "a listing that the contract does not know", write([*values, encode_asset(b"\x77" * 20)])
    yield "an unknown kind of entry", write([*values, b"\x09"])


# --- the audit


class Copy:
    """A copy of the data directory with its journal altered."""

    def __init__(self, stopped: Stopped, directory: Path, changes: list[Change]) -> None:
        self.data_dir = directory / "node"
        shutil.rmtree(self.data_dir, ignore_errors=True)
        shutil.copytree(stopped.data_dir, self.data_dir)
        with closing(plyvel.DB(str(self.data_dir / "journal"))) as db:
            for key, value in changes:
                if value is None:
                    db.delete(key)
                else:
                    db.put(key, value)


def audit(stopped: Stopped, data_dir: Path, *, with_index: bool = False) -> list[str]:
    """As `tally audit --data-dir` does it: what it finds."""
    findings = Findings()
    try:
        source = JournalSource(data_dir, findings)
    except NoJournal as error:
        return [str(error)]
    with closing(source):
        reader = SettlementReader(stopped.ethereum, stopped.network.domain.verifying_contract)
        contract = ContractAudit(reader, findings)
        Auditor(source.parameters, contract.facts.operator, findings, contract).run(source.read())
        if with_index:
            source.compare_index()
    return [f"{found.where}: {found.what}" for found in findings.kept]


def audit_by_command(stopped: Stopped, data_dir: Path, home: Path) -> tuple[int, dict[str, Any]]:
    outcome = stopped.network.run_tally("audit", "--data-dir", str(data_dir), "--json", home=home)
    assert outcome.status in (0, 1), outcome
    return outcome.status, json.loads(outcome.output) if outcome.output else {"error": outcome.errors}


def test_what_was_not_altered_agrees(stopped: Stopped, tmp_path: Path) -> None:
    copy = Copy(stopped, tmp_path, [])
    assert audit(stopped, copy.data_dir, with_index=True) == []
    status, summary = audit_by_command(stopped, copy.data_dir, tmp_path)
    assert (status, summary["replayed"], summary["disagreementCount"]) == (0, True, 0)
    assert summary["confirmedEpochs"] == summary["epochs"] >= 2


def test_every_kind_of_stored_value_is_named_when_altered(stopped: Stopped, tmp_path: Path) -> None:
    missed, count = [], 0
    for what, changes in (*list_alterations(stopped), *list_rearrangements(stopped)):
        assert any(stopped.stored.get(key) != value for key, value in changes), what
        count += 1
        if not audit(stopped, Copy(stopped, tmp_path, changes).data_dir):
            missed.append(what)
    assert missed == []
    assert count > 500


def test_every_flipped_bit_is_named(stopped: Stopped, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    print(f"TALLY_TEST_SEED={SEED}")
    for _ in range(FLIPS):
        key = chance.choice(sorted(stopped.stored))
        value = bytearray(stopped.stored[key])
        place, bit = chance.randrange(len(value)), chance.randrange(8)
        value[place] ^= 1 << bit
        found = audit(stopped, Copy(stopped, tmp_path, [(key, bytes(value))]).data_dir)
        assert found, f"bit {bit} of byte {place} under {key!r}"


def test_the_place_is_named(stopped: Stopped, tmp_path: Path) -> None:
    """Not only that something is wrong, but where."""
    height = stopped.find_blocks("transfer", is_sealed=True)[-1]
    block = stopped.entries[height].block  # type: ignore[union-attr]
    place = next(place for place, record in enumerate(block.records) if name_record(record) == "transfer")
    signed = block.records[place]
    output = msgspec.structs.replace(signed.payment.outputs[0], amount=10**18)
    forged = msgspec.structs.replace(
        signed, payment=msgspec.structs.replace(signed.payment, outputs=(output, *signed.payment.outputs[1:]))
    )
    records = (*block.records[:place], forged, *block.records[place + 1 :])
    copy = Copy(stopped, tmp_path, [(entry_key(height), encode_block_entry(Block(block.header, records)))])
    status, summary = audit_by_command(stopped, copy.data_dir, tmp_path)
    assert status == 1
    places = {found["where"] for found in summary["disagreements"]}
    assert f"record {place} of block {block.header.number}" in places
    assert any("0x" + signed.id.hex() in found["what"] for found in summary["disagreements"])


def test_a_history_rewritten_with_the_operators_own_key_is_named(stopped: Stopped, tmp_path: Path) -> None:
    """The last payment of a committed epoch left out, and every block from there on linked and signed anew."""
    operator = PrivateKey(bytes(open_keys(stopped.network.directory / "keys")["operator"].key))
    start = stopped.find_blocks("transfer", is_sealed=True)[0]
    changes: list[Change] = []
    previous = None
    for height in stopped.find(lambda entry: isinstance(entry, BlockEntry)):
        if height < start:
            continue
        block = stopped.entries[height].block  # type: ignore[union-attr]
        records = block.records[:-1] if height == start else block.records
        header = Header(
            number=block.header.number,
            previous=block.header.previous if previous is None else previous,
            timestamp=block.header.timestamp,
            records_root=build_records_tree(records).root,
            record_count=len(records),
        )
        previous = hash_header(header, stopped.network.domain)
        changes.append((entry_key(height), encode_block_entry(Block(header, records))))
        changes.append((b"s" + encode_u64(header.number), sign_digest(operator, previous)))
    found = audit(stopped, Copy(stopped, tmp_path, changes).data_dir)
    assert any("blocksRoot" in line for line in found), found
    assert any("stateRoot" in line for line in found), found


# --- the index


def test_every_column_of_the_index_is_named_when_altered(stopped: Stopped, tmp_path: Path) -> None:
    copy = Copy(stopped, tmp_path, [])
    path = copy.data_dir / "index.sqlite"
    whole = read_database(path)
    missed = []
    for table in TABLES:
        with closing(sqlite3.connect(path)) as db:
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            rows = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        assert rows, f"nothing in {table} to alter"
        for column in (*columns, None):
            alter_row(path, table, column)
            found = audit(stopped, copy.data_dir, with_index=True)
            if not any(line.startswith("index:") for line in found):
                missed.append((table, column))
            write_database(path, whole)
    assert missed == []
    assert audit(stopped, copy.data_dir, with_index=True) == []


def test_words_of_the_index_that_were_altered_are_named(stopped: Stopped, tmp_path: Path) -> None:
    """By which files would be found that do not say them, or not found though they do."""
    copy = Copy(stopped, tmp_path, [])
    path = copy.data_dir / "index.sqlite"
    whole = read_database(path)
    for statement in (
        "INSERT INTO words (rowid, text) SELECT max(place), 'gold' FROM files",
        "INSERT INTO words (words, rowid, text) SELECT 'delete', max(place), 'rainfall 2022' FROM files WHERE name = "
        "'Rainfall 2022'",
        "INSERT INTO words (words) VALUES ('delete-all')",
        "UPDATE words_data SET block = zeroblob(8) WHERE id = 10",
    ):
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(statement)
        found = audit(stopped, copy.data_dir, with_index=True)
        assert any(line.startswith("index:") for line in found), statement
        write_database(path, whole)
    assert audit(stopped, copy.data_dir, with_index=True) == []


def test_an_altered_index_ends_the_command_with_1(stopped: Stopped, tmp_path: Path) -> None:
    copy = Copy(stopped, tmp_path, [])
    alter_row(copy.data_dir / "index.sqlite", "credits", "credited")
    status, summary = audit_by_command(stopped, copy.data_dir, tmp_path)
    assert status == 1
    assert {found["where"] for found in summary["disagreements"]} == {"index"}


def alter_row(path: Path, table: str, column: str | None) -> None:
    """In the last row of the table; None for the whole row removed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        keys = [row[1] for row in db.execute(f"PRAGMA table_info({table})")][: TABLES[table]]
        order = ", ".join(f"{key} DESC" for key in keys)
        db.row_factory = sqlite3.Row
        last = db.execute(f"SELECT * FROM {table} ORDER BY {order} LIMIT 1").fetchone()
        where = " AND ".join(f"{key} = ?" for key in keys)
        arguments = [last[key] for key in keys]
        if column is None:
            db.execute(f"DELETE FROM {table} WHERE {where}", arguments)
        else:
            if not last[column]:  # NULL, empty, 0: the tables are strict about types
                kinds = {row[1]: row[2] for row in db.execute(f"PRAGMA table_info({table})")}
                other = b"\1" if kinds[column] == "BLOB" else 1
            else:
                other = flip(last[column])
            db.execute("PRAGMA ignore_check_constraints = ON")
            db.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", [other, *arguments])


def read_database(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.parent.glob(path.name + "*")}


def write_database(path: Path, files: dict[str, bytes]) -> None:
    for file in path.parent.glob(path.name + "*"):
        file.unlink()
    for name, content in files.items():
        (path.parent / name).write_bytes(content)


# --- the node itself


@pytest.mark.parametrize("what", ["payment", "place", "gap", "asset"])
def test_a_node_with_an_altered_journal_does_not_start_or_is_found_out(
    stopped: Stopped, tmp_path: Path, what: str
) -> None:
    """Either the node says what is wrong and ends, or an audit of what it serves names it."""
    blocks = stopped.find_blocks("transfer", is_sealed=True)
    assets = stopped.find(lambda entry: isinstance(entry, AssetEntry))
    block = stopped.entries[blocks[0]].block  # type: ignore[union-attr]
    changes: dict[str, list[Change]] = {
        "payment": [(entry_key(blocks[0]), dict(alter_block(block, "transfer"))["record.payment.nonce"])],
        "place": [(b"n" + encode_u64(block.header.number), encode_u64(blocks[1]))],
        "gap": [(entry_key(blocks[-1]), None)],
        "asset": [(entry_key(assets[0]), encode_asset(b"\x11" * 20))],
    }
    copy = Copy(stopped, tmp_path, changes[what])
    node = LoneNode(stopped.network)
    is_up = node.try_to_start(TALLYSTICK_DATA_DIR=str(copy.data_dir))
    try:
        if not is_up:
            assert node.process is not None
            assert node.process.returncode != 0
            return
        wait_until(node.is_serving, "an answer")
        outcome = node.run_tally("audit", "--json", home=tmp_path)
        assert outcome.status == 1, outcome
        assert json.loads(outcome.output)["disagreements"]
    finally:
        if node.process is not None and node.process.poll() is None:
            node.stop()
