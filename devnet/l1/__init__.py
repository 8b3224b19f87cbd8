"""An Ethereum for development in one process: py-evm, mining by the wall clock, spoken to over JSON-RPC.

`genesis` the first block and its funded accounts · `store` LevelDB · `block` what a block holds ·
`execution` py-evm at work · `pool` transactions waiting to be mined · `chain` all of these together ·
`proof logs fees` reads that need a thought · `parameters encoding` JSON in and out · `methods` the `eth_*`
methods · `rpc` JSON-RPC 2.0 over HTTP · `app` the process.
"""
