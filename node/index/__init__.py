"""The index: what is looked up and listed, derived from the journal. It may be deleted; it is then built again.

One process writes it (`IndexWriter`), any may read it (`IndexReader`), and `compare` holds it against the journal.
"""

from node.index.comparison import compare
from node.index.cursors import move_cursor
from node.index.deposits import encode_deposit_cursor
from node.index.payments import Direction, PaymentFilter, encode_cursor
from node.index.reader import IndexReader
from node.index.records import (
    Activity,
    AssetCounters,
    Counters,
    Holding,
    IndexedBlock,
    IndexedDeposit,
    IndexedEpoch,
    IndexedPayment,
    IndexedRecord,
    Page,
    Period,
    Seal,
    StatementEntry,
    StatementTotals,
    TimeSpan,
    WithdrawalPlace,
)
from node.index.schema import ACTIVITY_LENGTHS
from node.index.writer import IndexWriter

__all__ = [
    "ACTIVITY_LENGTHS",
    "Activity",
    "AssetCounters",
    "Counters",
    "Direction",
    "Holding",
    "IndexReader",
    "IndexWriter",
    "IndexedBlock",
    "IndexedDeposit",
    "IndexedEpoch",
    "IndexedPayment",
    "IndexedRecord",
    "Page",
    "PaymentFilter",
    "Period",
    "Seal",
    "StatementEntry",
    "StatementTotals",
    "TimeSpan",
    "WithdrawalPlace",
    "compare",
    "encode_cursor",
    "encode_deposit_cursor",
    "move_cursor",
]
