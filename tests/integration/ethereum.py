"""A real Ethereum client as a process, a contract on it, and an operator who signs commitments for it."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from coincurve import PrivateKey
from eth_account import Account
from eth_account.signers.local import LocalAccount

from chain.commitment import NO_COMMITMENT, AssetCommitment, Commitment, hash_commitment
from chain.hashing import keccak
from chain.params import Domain
from chain.primitives import ETHER, ZERO_HASH, Address, Signature
from chain.signatures import compute_address, sign_digest
from node.ethereum.deploy import (
    Sender,
    SettlementParameters,
    deploy_settlement,
    deploy_test_token,
    make_approval,
    make_deposit_call,
    make_mint,
)
from node.ethereum.endpoint import Endpoint
from node.ethereum.endpoints import Endpoints
from node.ethereum.gateway import Gateway
from node.ethereum.l1 import Deployment

CHAIN_ID = 31337
MNEMONIC = "test test test test test test test test test test test junk"
CHALLENGE_PERIOD = 30
OPERATOR = PrivateKey(keccak(b"operator"))
GAS_ACCOUNT: LocalAccount = Account.from_key(keccak(b"gas"))
STRANGER: LocalAccount = Account.from_key(keccak(b"stranger"))

Account.enable_unaudited_hdwallet_features()
FUNDER: LocalAccount = Account.from_mnemonic(MNEMONIC, account_path="m/44'/60'/0'/0/9")


class Anvil:
    """Mines when told to, by the clock of the test: `now_s` is the time of its newest block."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.endpoint = Endpoint(self.url)
        self.now_s = 0

    async def call(self, method: str, *params: Any) -> Any:
        return await self.endpoint.call(method, params)

    async def mine(self, count: int = 1, seconds: int = 12, base_fee: int | None = None) -> None:
        """`base_fee`: of each of these blocks, wei per gas; None: as it follows from the block before."""
        for _ in range(count):
            if base_fee is not None:
                await self.call("anvil_setNextBlockBaseFeePerGas", hex(base_fee))
            await self.call("evm_mine", {"timestamp": self.now_s + seconds})
            await self.read_time()

    async def reorganise(self, depth: int) -> None:
        """The last `depth` blocks give way to as many empty ones, at the same times; what was in them waits again."""
        await self.call("anvil_setBlockTimestampInterval", 12)
        await self.call("anvil_reorg", depth, [])
        await self.call("anvil_removeBlockTimestampInterval")
        await self.read_time()

    async def read_time(self) -> None:
        self.now_s = int((await self.call("eth_getBlockByNumber", "latest", False))["timestamp"], 16)

    def clock(self) -> int:
        """Milliseconds."""
        return self.now_s * 1000


@contextlib.asynccontextmanager
async def run_anvil(program: Path, *arguments: str, port: int = 0) -> AsyncIterator[Anvil]:
    """On a port of its own choice, or the one given. Killed at the end."""
    process = await asyncio.create_subprocess_exec(
        str(program),
        *("--port", str(port), "--chain-id", str(CHAIN_ID), "--mnemonic", MNEMONIC, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    drain: asyncio.Task[None] | None = None
    try:
        port = await asyncio.wait_for(_read_port(process), 30)
        drain = asyncio.create_task(_drain(process))
        anvil = Anvil(process, port)
        try:
            await anvil.read_time()
            yield anvil
        finally:
            await anvil.endpoint.close()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if drain is not None:
            await drain


async def _read_port(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        if found := re.search(rb"Listening on 127\.0\.0\.1:(\d+)", line):
            return int(found[1])
    raise AssertionError("anvil ended before it listened")


async def _drain(process: asyncio.subprocess.Process) -> None:
    """Its log must not fill the pipe."""
    assert process.stdout is not None
    while await process.stdout.read(1 << 16):
        pass


class Settled:
    """A deployed contract with ether and a token listed, one deposit of each, and the operator's side of it."""

    def __init__(self, anvil: Anvil, gateway: Gateway, deployment: Deployment, token: Address, funder: Sender) -> None:
        self.anvil = anvil
        self.gateway = gateway
        self.deployment = deployment
        self.token = token
        self.funder = funder
        self.domain = Domain.of(CHAIN_ID, deployment.settlement)
        self.previous = NO_COMMITMENT
        self.deposited = {ETHER: (0, 0), token: (0, 0)}
        """Asset → (count, sum)"""

    async def deposit(self, asset: Address, amount: int, account: Address = b"\x77" * 20) -> None:
        await self._set_automine(True)
        await self.funder.send(make_deposit_call(self.deployment.settlement, asset, account, amount))
        await self._set_automine(False)
        count, total = self.deposited[asset]
        self.deposited[asset] = (count + 1, total + amount)

    def seal(self, **changes: Any) -> tuple[Commitment, Signature]:
        """The next commitment, cut at the time of the newest block, with all deposits."""
        lines = tuple(
            [
                AssetCommitment(asset, keccak(b"state"), total, count, count, 0, ZERO_HASH, 0, 0)
                for asset, (count, total) in self.deposited.items()
            ]
        )
        previous = self.previous
        commitment = Commitment(
            epoch=previous.epoch + 1,
            previous=ZERO_HASH if previous.epoch == 0 else hash_commitment(previous, self.domain),
            first_block=previous.last_block + 1,
            last_block=previous.last_block + 4,
            cut_at=self.anvil.clock(),
            blocks_root=keccak(b"blocks"),
            extra_root=ZERO_HASH,
            assets=lines,
        )
        commitment = msgspec.structs.replace(commitment, **changes)
        self.previous = commitment
        return commitment, sign_digest(OPERATOR, hash_commitment(commitment, self.domain))

    async def _set_automine(self, is_on: bool) -> None:
        await self.anvil.call("evm_setAutomine", is_on)
        await self.anvil.read_time()


async def settle(anvil: Anvil, max_silence: int = 86_400) -> Settled:
    """Deploys, and leaves automatic mining off. `max_silence`: seconds."""
    await anvil.call("evm_setAutomine", True)
    funder = Sender(anvil.endpoint, FUNDER, poll_interval_ms=10)
    token = (await deploy_test_token(funder)).address
    parameters = SettlementParameters(
        operator=compute_address(OPERATOR.public_key),
        cold_key=b"\x0b" * 20,
        listing_key=bytes.fromhex(STRANGER.address[2:]),
        native_asset=ETHER,
        challenge_period=CHALLENGE_PERIOD,
        answer_period=60,
        follow_up=60,
        min_interval=0,
        max_silence=max_silence,
        listing_delay=0,
    )
    deployed = await deploy_settlement(funder, parameters, [ETHER, token])
    for account in (GAS_ACCOUNT, STRANGER):
        await anvil.call("anvil_setBalance", account.address, hex(10**20))
    await funder.send_all([make_mint(token, funder.address, 10**24), make_approval(token, deployed.address, 10**24)])
    gateway = Gateway(Endpoints([anvil.endpoint], CHAIN_ID, deployed.address), CHAIN_ID, deployed.address)
    deployment = await gateway.check_deployment(deployed.deployed_at, ETHER, parameters.operator)
    await anvil.call("evm_setAutomine", False)
    await anvil.read_time()
    await anvil.mine(seconds=1)
    settled = Settled(anvil, gateway, deployment, token, funder)
    await settled.deposit(ETHER, 10**18)
    await settled.deposit(token, 10**20)
    return settled
