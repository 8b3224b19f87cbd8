"""The audit of a whole ledger: every block replayed, every root, total and signature held against Ethereum.

`sources` reads the ledger from a running node, `journal` from a stopped node's data directory. `auditor` replays and
compares, `ethereum` asks the contract, `findings` keeps what disagrees.
"""

from client.audit.auditor import Auditor, AuditReport
from client.audit.ethereum import ContractAudit
from client.audit.findings import Disagreement, Findings
from client.audit.sources import NodeSource

__all__ = ["AuditReport", "Auditor", "ContractAudit", "Disagreement", "Findings", "NodeSource"]
