"""The part of the node that speaks to Ethereum: `watcher` brings deposits in, `committer` brings commitments out."""
