"""The block explorer: pages over the node's read side.

It reads the index and what the committer says, never the sequencer.

`app` answers HTTP; a page is a module that reads what it shows (`home`) and a template of the same name; `formatting`
and `status` say things in words, once for all pages.
"""
