"""The index: what is looked up and listed, derived from the journal. It may be deleted; it is then built again.

One process writes it (`IndexWriter`), any may read it (`IndexReader`), and `compare` holds it against the journal.
"""

from node.index.comparison import compare
from node.index.payments import PaymentFilter
from node.index.reader import IndexReader
from node.index.records import (
    AssetCounters,
    Counters,
    IndexedBlock,
    IndexedEpoch,
    IndexedPayment,
    Page,
    Seal,
    StatementEntry,
    StatementTotals,
    WithdrawalPlace,
)
from node.index.writer import IndexWriter

__all__ = [
    "AssetCounters",
    "Counters",
    "IndexReader",
    "IndexWriter",
    "IndexedBlock",
    "IndexedEpoch",
    "IndexedPayment",
    "Page",
    "PaymentFilter",
    "Seal",
    "StatementEntry",
    "StatementTotals",
    "WithdrawalPlace",
    "compare",
]
