"""The yardstick: libsecp256k1 recovering public keys, and nothing else, on one core."""

import time
from typing import Final

from coincurve import PublicKey

from benchmarks.load import Load

_SECONDS: Final = 2.0
_RECOVERY_BASE: Final = 27


def measure_bare_recover(load: Load) -> float:
    """Recoveries a second in this process, the best of three."""
    prepared = [
        (signature[:64] + bytes((signature[64] - _RECOVERY_BASE,)), digest) for digest, signature in load.signatures
    ]
    best = 0.0
    for _ in range(3):
        count, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < _SECONDS / 3:
            for signature, digest in prepared[:500]:
                PublicKey.from_signature_and_message(signature, digest, hasher=None)
            count += 500
        best = max(best, count / elapsed)
    return best
