"""The part of the node that speaks to Ethereum: it credits deposits (`watcher`) and submits commitments (`committer`)."""
