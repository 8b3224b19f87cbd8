"""What users run: the Python client, wallet keys, receipts, the verifier, the auditor, and the `tally` command.

`node` speaks to a node; `wallet` signs payments and keeps receipts; `ethereum` deposits and claims; `verifier` and
`audit` trust nobody. Nothing here imports the node's own code, but for the commands that start one.
"""
