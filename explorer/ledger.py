"""What every page says of the ledger as a whole."""

from typing import Any

import msgspec


class LedgerFacts(msgspec.Struct, frozen=True):
    """What does not change as long as the ledger lives."""

    chain_id: int
    l1_chain_id: int
    settlement: str
    operator: str


def read_ledger(description: dict[str, Any]) -> LedgerFacts:
    """From what `tally_getInfo` answers."""
    return LedgerFacts(
        chain_id=int(description["ledgerChainId"], 16),
        l1_chain_id=int(description["l1ChainId"], 16),
        settlement=description["settlement"],
        operator=description["operator"],
    )
