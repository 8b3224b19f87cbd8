"""The index: what is looked up and listed, derived from the journal. It may be deleted; it is then built again.

One process writes it (`IndexWriter`), any may read it (`IndexReader`), and `compare` holds it against the journal.
"""

from node.index.comparison import compare
from node.index.cursors import move_cursor
from node.index.deposits import encode_deposit_cursor
from node.index.files import FileFilter, encode_file_cursor
from node.index.instructions import encode_instruction_cursor
from node.index.payments import Direction, PaymentFilter, encode_cursor
from node.index.reader import IndexReader
from node.index.records import (
    Activity,
    AssetCounters,
    Counters,
    Earnings,
    Holding,
    IndexedBlock,
    IndexedDeposit,
    IndexedEpoch,
    IndexedFile,
    IndexedInstruction,
    IndexedPayment,
    IndexedRecord,
    Page,
    Period,
    PricePoint,
    Registration,
    Seal,
    StatementEntry,
    StatementTotals,
    TagCount,
    TimeSpan,
    WithdrawalPlace,
)
from node.index.registrations import encode_registration_cursor
from node.index.schema import ACTIVITY_LENGTHS, PARTS
from node.index.words import MAX_TERMS
from node.index.writer import IndexWriter

__all__ = [
    "ACTIVITY_LENGTHS",
    "MAX_TERMS",
    "PARTS",
    "Activity",
    "AssetCounters",
    "Counters",
    "Direction",
    "Earnings",
    "FileFilter",
    "Holding",
    "IndexReader",
    "IndexWriter",
    "IndexedBlock",
    "IndexedDeposit",
    "IndexedEpoch",
    "IndexedFile",
    "IndexedInstruction",
    "IndexedPayment",
    "IndexedRecord",
    "Page",
    "PaymentFilter",
    "Period",
    "PricePoint",
    "Registration",
    "Seal",
    "StatementEntry",
    "StatementTotals",
    "TagCount",
    "TimeSpan",
    "WithdrawalPlace",
    "compare",
    "encode_cursor",
    "encode_deposit_cursor",
    "encode_file_cursor",
    "encode_instruction_cursor",
    "encode_registration_cursor",
    "move_cursor",
]
