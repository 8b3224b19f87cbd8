"""Python's collector of reference cycles, kept from the hot path.

What a payment leaves behind is freed by reference counts; there are no cycles in it. The collector's default, to look
through everything young after each 700 objects, is then work for nothing, and a full look through a ledger of a million
accounts would hold up payments.
"""

import gc
from typing import Final

_YOUNG: Final = 50_000
"""Objects between two looks."""
_MIDDLE: Final = 20
_OLD: Final = 100


def relax_collector() -> None:
    """What is there now is not looked at again; what comes is looked at seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
