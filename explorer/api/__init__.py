"""What programs read: the REST interface, and the calls of portfolio tools. All of it only reads.

`rest` and `etherscan` answer; `forms` says what the answers look like, `openapi` tells the world so; `http` is what
they share: parameters, errors, caching.
"""
