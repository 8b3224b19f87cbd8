"""The tables of the index, and how places, holdings and amounts are packed into their columns.

Everything hangs on two integers. A *place* is where a record stands in the ledger: block number × 2^20 + record index,
so places ascend in ledger order and a span of blocks is a span of places. A *holding* is one account in one asset:
account × 32 + asset, so an account's holdings lie side by side and no table of them is needed.

Entries carry no amounts but running sums: what the holding has been debited (credited) since the ledger began, this
entry included, and how many entries that were. An amount is the difference to the entry before it, a balance is
credited − debited, and sums and counts of any span take two look-ups at its ends, however long the span. What an epoch
moved in an asset is kept the same way: by the counters of the asset as they stood at its cut.

Ids and references are found by their first 8 bytes, then compared whole. Amounts and sums are big-endian without
leading zeros: exact at any size, and short at the usual ones.
"""

import sqlite3
from pathlib import Path
from typing import Final

from chain.instruction import MEMBERS
from chain.kinds import KIND_CODES
from chain.market import ROLE_BITS
from chain.primitives import MAX_ASSETS

SCHEMA_VERSION: Final = 4
"""Raised with every change of the tables or of what is written to them: an older file is then deleted and rebuilt."""

APPLICATION_ID: Final = 0x54414C4C
"""In the header of the file: "TALL", so that another program's database is not taken for an index."""

SCHEMA: Final = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};

CREATE TABLE progress (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    genesis_hash BLOB NOT NULL,
    genesis BLOB,                       -- the journal's first entry; NULL until it is in
    height INTEGER NOT NULL,            -- of the next journal entry wanted
    block INTEGER NOT NULL,             -- the last one
    block_hash BLOB NOT NULL,
    timestamp INTEGER NOT NULL,         -- of the last block, ms
    epoch INTEGER NOT NULL,             -- the open one
    sealed_epoch INTEGER NOT NULL,      -- the last that has a seal, 0 for none
    record_count INTEGER NOT NULL,
    payment_count INTEGER NOT NULL,
    account_count INTEGER NOT NULL
) STRICT;

CREATE TABLE assets (
    id INTEGER PRIMARY KEY,             -- its place in the contract's list
    address BLOB NOT NULL,
    payment_count INTEGER NOT NULL,
    volume BLOB NOT NULL,
    deposit_count INTEGER NOT NULL,
    deposited BLOB NOT NULL,
    withdrawal_count INTEGER NOT NULL,
    withdrawn BLOB NOT NULL
) STRICT;

CREATE TABLE accounts (
    id INTEGER PRIMARY KEY,             -- from 1, in the order in which they are first met: entries, instructions
    address BLOB NOT NULL UNIQUE
) STRICT;

CREATE TABLE epochs (
    number INTEGER PRIMARY KEY,
    first_block INTEGER NOT NULL,
    last_block INTEGER NOT NULL,        -- so far, while the epoch is open; first_block - 1 when it has none
    record_count INTEGER NOT NULL,
    payment_count INTEGER NOT NULL,
    cut_at INTEGER,                     -- ms; NULL while open
    commitment BLOB,                    -- NULL until sealed
    signature BLOB
) STRICT;

CREATE TABLE blocks (
    number INTEGER PRIMARY KEY,
    hash BLOB NOT NULL,
    timestamp INTEGER NOT NULL,         -- ms
    record_count INTEGER NOT NULL,
    epoch INTEGER NOT NULL
) STRICT;
CREATE INDEX blocks_by_hash ON blocks (substr(hash, 1, 8));
CREATE INDEX blocks_by_timestamp ON blocks (timestamp);

CREATE TABLE payments (
    place INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    kind INTEGER NOT NULL,
    asset INTEGER NOT NULL,
    payer INTEGER NOT NULL,
    nonce INTEGER NOT NULL,
    total BLOB NOT NULL,
    payee INTEGER,                      -- the account of a single output; else see outputs, or withdrawals
    reference BLOB,                     -- NULL for zero
    memo TEXT                           -- NULL for none
) STRICT;
CREATE INDEX payments_by_id ON payments (substr(id, 1, 8));
CREATE INDEX payments_by_kind ON payments (kind, asset);
CREATE INDEX payments_by_reference ON payments (substr(reference, 1, 8)) WHERE reference IS NOT NULL;

CREATE TABLE outputs (                  -- of payments that have more than one
    place INTEGER NOT NULL,
    output INTEGER NOT NULL,
    payee INTEGER NOT NULL,
    amount BLOB NOT NULL,
    PRIMARY KEY (place, output)
) STRICT, WITHOUT ROWID;

CREATE TABLE deposits (
    place INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    asset INTEGER NOT NULL,
    position INTEGER NOT NULL,          -- in the contract's queue of that asset
    account INTEGER NOT NULL,
    amount BLOB NOT NULL
) STRICT;
CREATE INDEX deposits_by_id ON deposits (substr(id, 1, 8));
CREATE INDEX deposits_by_account ON deposits (account);

CREATE TABLE withdrawals (
    place INTEGER PRIMARY KEY,          -- of the payment
    epoch INTEGER NOT NULL,
    asset INTEGER NOT NULL,
    position INTEGER NOT NULL,          -- in the epoch's list of that asset
    recipient BLOB NOT NULL             -- 20 bytes: on L1, not an account
) STRICT;
CREATE UNIQUE INDEX withdrawals_by_position ON withdrawals (epoch, asset, position);
CREATE INDEX withdrawals_by_recipient ON withdrawals (recipient, asset);

CREATE TABLE debits (
    holding INTEGER NOT NULL,
    place INTEGER NOT NULL,
    debited BLOB NOT NULL,
    count INTEGER NOT NULL,             -- debits of the holding, this one included
    PRIMARY KEY (holding, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE credits (
    holding INTEGER NOT NULL,
    place INTEGER NOT NULL,
    output INTEGER NOT NULL,            -- 0 for a deposit
    credited BLOB NOT NULL,
    count INTEGER NOT NULL,             -- credits of the holding, this one included
    PRIMARY KEY (holding, place, output)
) STRICT, WITHOUT ROWID;

CREATE TABLE cuts (                     -- the counters of an asset as they stood when an epoch was cut
    epoch INTEGER NOT NULL,
    asset INTEGER NOT NULL,
    payment_count INTEGER NOT NULL,
    volume BLOB NOT NULL,
    deposit_count INTEGER NOT NULL,
    deposited BLOB NOT NULL,
    withdrawal_count INTEGER NOT NULL,
    withdrawn BLOB NOT NULL,
    PRIMARY KEY (epoch, asset)
) STRICT, WITHOUT ROWID;

CREATE TABLE activity (                 -- payments of an asset in a span of time that had any
    length INTEGER NOT NULL,            -- of the span, ms: one of ACTIVITY_LENGTHS
    start INTEGER NOT NULL,             -- ms, a multiple of length
    asset INTEGER NOT NULL,
    payment_count INTEGER NOT NULL,
    volume BLOB NOT NULL,
    PRIMARY KEY (length, start, asset)
) STRICT, WITHOUT ROWID;

CREATE TABLE instructions (
    place INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    type INTEGER NOT NULL,              -- its place in chain.instruction.MEMBERS
    account INTEGER NOT NULL,
    nonce INTEGER NOT NULL,
    file INTEGER,                       -- the place of its listing; NULL for registrations
    role INTEGER,                       -- a bit of ROLE_BITS; of registrations
    validator INTEGER,                  -- under whom an owner registers
    price BLOB                          -- of a listing, and of another price
) STRICT;
CREATE INDEX instructions_by_id ON instructions (substr(id, 1, 8));
CREATE INDEX instructions_by_account ON instructions (account);
CREATE INDEX instructions_by_file ON instructions (file) WHERE file IS NOT NULL;

CREATE TABLE registrations (
    account INTEGER NOT NULL,
    role INTEGER NOT NULL,              -- a bit of ROLE_BITS
    place INTEGER NOT NULL,             -- of the record that says it last
    validator INTEGER,                  -- of an owner
    named_only INTEGER NOT NULL,
    PRIMARY KEY (account, role)
) STRICT, WITHOUT ROWID;
CREATE INDEX registrations_by_role ON registrations (role, place);
CREATE INDEX registrations_by_validator ON registrations (validator, place) WHERE validator IS NOT NULL;
CREATE INDEX registrations_by_place ON registrations (place);

CREATE TABLE registration_counts (
    role INTEGER NOT NULL,
    validator INTEGER NOT NULL,         -- 0: of all
    count INTEGER NOT NULL,
    PRIMARY KEY (role, validator)
) STRICT, WITHOUT ROWID;

CREATE TABLE files (                    -- what a listing says for good
    place INTEGER PRIMARY KEY,          -- of the listing
    file BLOB NOT NULL UNIQUE,
    validator INTEGER NOT NULL,
    owner INTEGER NOT NULL,
    asset INTEGER NOT NULL,
    size BLOB NOT NULL,
    storage_days INTEGER NOT NULL,
    content_hash BLOB NOT NULL,
    name TEXT NOT NULL,
    media_type TEXT NOT NULL,
    tags TEXT NOT NULL,                 -- a list, as JSON
    description TEXT NOT NULL,
    key_hash BLOB NOT NULL,
    has_sealed_key INTEGER NOT NULL
) STRICT;
CREATE INDEX files_by_validator ON files (validator);
CREATE INDEX files_by_owner ON files (owner);

CREATE TABLE file_states (              -- and what changes
    place INTEGER PRIMARY KEY,
    price BLOB NOT NULL,
    keep_until INTEGER NOT NULL,        -- Unix seconds
    service_node INTEGER,
    is_delisted INTEGER NOT NULL,
    sale_count INTEGER NOT NULL,
    sold BLOB NOT NULL
) STRICT;
CREATE INDEX file_states_by_service_node ON file_states (service_node) WHERE service_node IS NOT NULL;

CREATE TABLE prices (
    file INTEGER NOT NULL,
    place INTEGER NOT NULL,
    price BLOB NOT NULL,
    PRIMARY KEY (file, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE tags (
    id INTEGER PRIMARY KEY,             -- from 1, in the order in which they are first met
    tag TEXT NOT NULL UNIQUE,           -- as node.index.words folds it
    count INTEGER NOT NULL              -- of files that are not delisted
) STRICT;
CREATE INDEX tags_by_count ON tags (count DESC, tag);

CREATE TABLE file_tags (
    tag INTEGER NOT NULL,
    file INTEGER NOT NULL,
    PRIMARY KEY (tag, file)
) STRICT, WITHOUT ROWID;

CREATE TABLE purchases (
    file INTEGER NOT NULL,
    buyer INTEGER NOT NULL,
    place INTEGER NOT NULL,
    PRIMARY KEY (file, buyer)
) STRICT, WITHOUT ROWID;

CREATE TABLE earnings (
    account INTEGER NOT NULL,
    asset INTEGER NOT NULL,
    part INTEGER NOT NULL,              -- of PARTS
    count INTEGER NOT NULL,
    amount BLOB NOT NULL,
    PRIMARY KEY (account, asset, part)
) STRICT, WITHOUT ROWID;

CREATE VIRTUAL TABLE words USING fts5 ( -- rowid: the place of the listing; its text as node.index.words folds it
    text, content = '', columnsize = 0, tokenize = 'trigram case_sensitive 1'
);
"""

TABLES: Final = {
    "progress": 1,
    "assets": 1,
    "accounts": 1,
    "epochs": 1,
    "blocks": 1,
    "payments": 1,
    "outputs": 2,
    "deposits": 1,
    "withdrawals": 1,
    "debits": 2,
    "credits": 3,
    "cuts": 2,
    "activity": 3,
    "instructions": 1,
    "registrations": 2,
    "registration_counts": 2,
    "files": 1,
    "file_states": 1,
    "prices": 2,
    "tags": 1,
    "file_tags": 2,
    "purchases": 2,
    "earnings": 3,
}
"""Table → how many of its first columns are its primary key."""

RECORD_BITS: Final = 20
MAX_RECORDS: Final = 1 << RECORD_BITS
"""Records of one block that places have room for; node blocks hold a few thousand."""

MAX_PLACE: Final = 2**63 - 1
"""SQLite's largest integer: room for 2^43 blocks."""

ACTIVITY_LENGTHS: Final = (60_000, 3_600_000, 86_400_000)
"""Milliseconds: a minute, an hour, a day of UTC."""

VALIDATOR_PART: Final = "validator"
OWNER_PART: Final = "owner"
SERVICE_NODE_PART: Final = "service_node"
STORAGE_PART: Final = "storage"
PARTS: Final = (VALIDATOR_PART, OWNER_PART, SERVICE_NODE_PART, STORAGE_PART)
"""What an account earns on the data exchange: shares of purchases, by its role in them, and charges for storage."""

INSTRUCTION_NAMES: Final = tuple(MEMBERS)
ROLES_BY_BIT: Final = {bit: role for role, bit in ROLE_BITS.items()}

KINDS_BY_CODE: Final = {code: kind for kind, code in KIND_CODES.items()}


def pack_place(block: int, record: int) -> int:
    return block << RECORD_BITS | record


def unpack_place(place: int) -> tuple[int, int]:
    """(block, record)"""
    return place >> RECORD_BITS, place & MAX_RECORDS - 1


def pack_holding(account: int, asset: int) -> int:
    return account * MAX_ASSETS + asset


def encode_amount(amount: int) -> bytes:
    return amount.to_bytes(amount.bit_length() + 7 >> 3, "big")


def decode_amount(data: bytes) -> int:
    return int.from_bytes(data, "big")


def connect_reading(path: Path) -> sqlite3.Connection:
    """Transactions are explicit; may be closed by another thread than the one that uses it.

    Raises `sqlite3.OperationalError` when there is no such file.
    """
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False, isolation_level=None, timeout=30
    )
    db.execute("PRAGMA mmap_size = 268435456")
    return db


def is_current(db: sqlite3.Connection) -> bool:
    """Whether the file has the tables above."""
    application_id: int = db.execute("PRAGMA application_id").fetchone()[0]
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return (application_id, version) == (APPLICATION_ID, SCHEMA_VERSION)
