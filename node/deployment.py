"""The contract's constants, kept on disk: they never change, and a node must start while Ethereum is out of reach."""

from pathlib import Path

import msgspec
import structlog

from node.durable_file import write_durably
from node.ethereum.gateway import Gateway
from node.ethereum.l1 import Deployment

_log = structlog.get_logger(__name__)


async def open_deployment(path: Path, gateway: Gateway) -> Deployment:
    """From disk, or from Ethereum if this is the first start.

    Raises `EthereumFault` while that does not answer, `WrongDeployment` when it is another chain or another contract.
    """
    deployment = _read(path)
    if deployment is None:
        deployment = await gateway.get_deployment()
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
