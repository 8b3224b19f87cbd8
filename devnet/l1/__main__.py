"""`python -m devnet.l1`."""

import sys

from devnet.l1.app import main

sys.exit(main())
