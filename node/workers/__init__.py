"""The node's worker processes: CPU-bound work that must not share an interpreter with the sequencer.

Beside a busy Python thread, one that released the GIL for a microsecond of I/O waits up to the switch interval to get
it back; so verification, indexing and sealing each have processes of their own. A worker ends when its parent does:
the socket between them closes, and that is all a worker ever waits for.
"""
