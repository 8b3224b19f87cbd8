"""`--demo`: a little market of accounts of its own, at a human pace, so that there is something to look at."""

from devnet.demo.market import play

__all__ = ["play"]
