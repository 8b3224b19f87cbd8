"""The contract's constants, kept on disk: they never change, and a node must start while Ethereum is out of reach."""

import asyncio
from pathlib import Path
from typing import Final

import msgspec
import structlog

from node.durable_file import write_durably
from node.ethereum.faults import EthereumFault
from node.ethereum.gateway import Gateway
from node.ethereum.l1 import Deployment

_RETRY_SECONDS: Final = 2.0

_log = structlog.get_logger(__name__)


async def open_deployment(path: Path, gateway: Gateway) -> Deployment:
    """From disk, or from Ethereum, which is waited for if this is the first start.

    Raises `WrongDeployment` when the endpoint serves another chain or another contract, or the file is of another one.
    """
    deployment = _read(path)
    if deployment is None:
        deployment = await _fetch(gateway)
        write_durably(path, msgspec.json.encode(deployment))
    return deployment


def _read(path: Path) -> Deployment | None:
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Deployment)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _log.warning("the contract's constants on disk are damaged; they are asked for again", error=str(error))
        return None


async def _fetch(gateway: Gateway) -> Deployment:
    while True:
        try:
            return await gateway.get_deployment()
        except EthereumFault as fault:
            _log.warning("waiting for Ethereum, to learn the contract's constants", fault=str(fault))
            await asyncio.sleep(_RETRY_SECONDS)
