"""Development networks: an Ethereum of our own (`devnet.l1`) and whatever is built on it."""
