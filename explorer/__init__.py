"""The block explorer: pages over the node's read side."""
