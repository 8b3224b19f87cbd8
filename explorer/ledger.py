"""What every page says of the ledger as a whole."""

from typing import Any

import msgspec


class LedgerFacts(msgspec.Struct, frozen=True):
    """Of the ledger as a whole."""

    chain_id: int
    l1_chain_id: int
    settlement: str
    operator: str
    mined_epoch: int
    """The last that is on Ethereum, 0 for none."""
    final_epoch: int


def read_ledger(description: dict[str, Any]) -> LedgerFacts:
    """From what `tally_getInfo` answers."""
    commitments = description["lastCommitment"]
    return LedgerFacts(
        chain_id=int(description["ledgerChainId"], 16),
        l1_chain_id=int(description["l1ChainId"], 16),
        settlement=description["settlement"],
        operator=description["operator"],
        mined_epoch=int(commitments["mined"], 16),
        final_epoch=int(commitments["final"], 16),
    )
