"""The rules of the ledger. Pure: no input or output, no clock, no randomness, no logging, no threads, no configuration.

Read `payment`, `transition` and `ledger` first; everything else serves them.
"""
