"""The block explorer: pages over the node's read side.

It reads the index and what the committer says, never the sequencer.

`app` answers HTTP. A page is a module of `pages`, which reads what it shows, and a template; `site` is what all of them
share, `sources` all that they are given. `api` answers programs, `exports` makes files, `events` tells of news.
`formatting`, `sentences` and `status` say things in words, once for all of these.
"""
