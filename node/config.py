"""The node's configuration: one TOML file, environment variables over it. Unknown keys are refused in both.

An environment variable is `TALLYSTICK_` and the key's path in upper case, its parts joined by two underscores:
`TALLYSTICK_PORT`, `TALLYSTICK_ETHEREUM__URL` (several URLs are separated by white space).
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from chain.errors import MalformedRequest
from chain.params import Market
from chain.primitives import MAX_U64
from chain.wire import decode_address
from node.ethereum.endpoint import split_url

_ENVIRONMENT_PREFIX: Final = "TALLYSTICK_"

MAX_ENDPOINTS: Final = 16
"""Of Ethereum: each is asked for every newest block."""

MIN_TOKEN_SIZE: Final = 16
"""Characters of the operator's token: enough of a random one that guessing is hopeless."""
_MAX_TOKEN_SIZE: Final = 1024

LOCAL_HOSTS: Final = ("localhost", "127.0.0.1")
"""Where pages may connect to without TLS, by their own policy and that of browsers."""


class ConfigurationError(ValueError):
    """The configuration is not one that a node can run with; the message names the key."""


class EthereumConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str | tuple[str, ...]
    """JSON-RPC endpoints of Ethereum clients, in the order of preference: one, or a list, at most 16."""
    chain_id: int
    """Of the chain that the endpoints must serve."""
    settlement: str
    """Address of the Settlement contract."""
    confirmations: int | None = None
    """L1 blocks, its own counted, after which one counts as final; leave out to use the chain's own `finalized` tag."""
    poll_seconds: float = 6.0
    rebroadcast_seconds: float = 12.0
    bump_seconds: float = 48.0
    max_fee_gwei: int = 500
    """Cap of what is offered per gas."""
    daily_budget_gwei: int = 500_000_000
    """Cap of what commitments may cost in any 24 hours: half an ether."""
    quorum: int | None = None
    """How many endpoints must say the same before it is believed; leave out for more than half of them."""

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(self.url.split()) if isinstance(self.url, str) else self.url


class KeyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An encrypted keystore (Web3 Secret Storage, version 3) and the file that holds its password."""

    keystore: str
    password_file: str


class ExplorerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    operator_token_file: str | None = None
    """The file that holds the token which opens `/operator`; without one there is no such page. At least 16 characters
    of visible ASCII, white space around them aside. Who else may read the file is not looked at: keep it as a password
    file is kept (`umask 077`)."""
    public_l1_url: str | None = None
    """JSON-RPC endpoint of an Ethereum client that pages suggest to readers, whose browsers ask it directly: it must
    answer any origin (CORS), by https:// unless it is on the reader's own machine. Everybody sees it, so it holds no
    key that is not meant to be public. Without one, readers type their own."""
    l1_explorer_url: str | None = None
    """What stands before `/tx/…` and `/address/…` in links to an explorer of Ethereum; without one, that of the chain,
    if it has a well-known one."""


class MarketConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Chain parameters of the data exchange: fixed with the ledger's first block. Shares are hundredths of a percent of
    a price, and sum to 10,000."""

    validator_share: int = 5_000
    owner_share: int = 5_000
    """And what is left of a division."""
    commission: int = 0
    """The share of the service node that keeps the file."""
    storage_rates: dict[str, int] = {}
    """Asset → base units for keeping one GiB for a day; storage is paid for in no other asset."""

    def to_market(self) -> Market:
        """Raises `ConfigurationError`."""
        try:
            rates = {decode_address(asset, "market.storage_rates"): rate for asset, rate in self.storage_rates.items()}
            market = Market(self.validator_share, self.owner_share, self.commission, tuple(sorted(rates.items())))
            market.check()
        except (MalformedRequest, ValueError) as error:
            raise ConfigurationError(f"market: {error}") from error
        if len(rates) != len(self.storage_rates):
            raise ConfigurationError("market.storage_rates: an asset is there twice")
        return market


class NodeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ethereum: EthereumConfig
    operator: KeyConfig
    """Signs blocks and commitments."""
    gas: KeyConfig
    """Pays for the commitments' L1 transactions; another key than the operator's."""
    escrow: KeyConfig | None = None
    """Opens the file keys that listings bring; a third key. Without one, listings bring none."""
    market: MarketConfig = MarketConfig()
    explorer: ExplorerConfig = ExplorerConfig()
    data_dir: str = "data"
    host: str = "127.0.0.1"
    port: int = 8645
    epoch_seconds: int = 3600
    verifiers: int = 2
    """Processes that recover signatures."""
    max_body_bytes: int = 8 << 20
    max_backlog: int = 50_000
    """Payments that may wait; beyond, a sender hears `overloaded`."""
    max_clock_lead_seconds: int = 900
    """How far this machine's clock may be ahead of the newest L1 block before nothing is sealed any more."""
    log_level: str = "info"
    log_format: str = "json"
    """`json` or `console`."""


def load_config(path: Path | None, environment: Mapping[str, str] | None = None) -> NodeConfig:
    """Raises `ConfigurationError` for an unreadable file, an unknown key, a missing one, a value of the wrong type or
    range, or an operator's token that cannot be one. Relative paths are taken from the file's directory."""
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path}: {error}") from error
    _overlay(values, os.environ if environment is None else environment)
    try:
        config = msgspec.convert(values, NodeConfig, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(str(error)) from error
    _check(config)
    config = _resolve_paths(config, path.parent if path is not None else Path())
    read_operator_token(config)
    return config


def read_operator_token(config: NodeConfig) -> str | None:
    """None when the operator's page is off. Raises `ConfigurationError` for a file that cannot be read, or that holds
    no token; the message does not quote it."""
    path = config.explorer.operator_token_file
    if path is None:
        return None
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MAX_TOKEN_SIZE + 1)
    except OSError as error:
        raise ConfigurationError(f"explorer.operator_token_file: {error}") from error
    token = content.strip().decode("latin-1")
    if len(content) > _MAX_TOKEN_SIZE or len(token) < MIN_TOKEN_SIZE:
        raise ConfigurationError(
            f"explorer.operator_token_file: a token has from {MIN_TOKEN_SIZE} to {_MAX_TOKEN_SIZE} characters"
        )
    if not all("!" <= character <= "~" for character in token):
        raise ConfigurationError("explorer.operator_token_file: a token is of visible ASCII, without spaces")
    return token


def _overlay(values: dict[str, Any], environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        if not name.startswith(_ENVIRONMENT_PREFIX):
            continue
        *sections, key = name[len(_ENVIRONMENT_PREFIX) :].lower().split("__")
        place = values
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ConfigurationError(f"{name}: {section} is not a section")
        place[key] = value


def _check(config: NodeConfig) -> None:
    ethereum = config.ethereum
    ranges = {
        "port": (config.port, 0, 65_535),
        "epoch_seconds": (config.epoch_seconds, 1, 30 * 86_400),
        "verifiers": (config.verifiers, 1, 256),
        "max_body_bytes": (config.max_body_bytes, 4096, 64 << 20),
        "max_backlog": (config.max_backlog, 1, 10_000_000),
        "max_clock_lead_seconds": (config.max_clock_lead_seconds, 1, 86_400),
        "ethereum.chain_id": (ethereum.chain_id, 1, MAX_U64),
        "ethereum.poll_seconds": (ethereum.poll_seconds, 0.05, 600),
        "ethereum.rebroadcast_seconds": (ethereum.rebroadcast_seconds, 0.1, 3600),
        "ethereum.bump_seconds": (ethereum.bump_seconds, 0.1, 86_400),
        "ethereum.max_fee_gwei": (ethereum.max_fee_gwei, 1, 10**9),
        "ethereum.daily_budget_gwei": (ethereum.daily_budget_gwei, 1, 10**18),
        "ethereum.confirmations": (1 if ethereum.confirmations is None else ethereum.confirmations, 1, 10_000),
    }
    for key, (value, lowest, highest) in ranges.items():
        if not lowest <= value <= highest:
            raise ConfigurationError(f"{key} is {value}, it must be from {lowest} to {highest}")
    _check_endpoints(ethereum)
    _check_explorer(config.explorer)
    config.market.to_market()
    try:
        decode_address(ethereum.settlement, "ethereum.settlement")
    except MalformedRequest as error:
        raise ConfigurationError(str(error)) from error
    if config.log_format not in ("json", "console"):
        raise ConfigurationError(f"log_format is {config.log_format!r}, it must be json or console")
    if config.log_level not in ("debug", "info", "warning", "error"):
        raise ConfigurationError(f"log_level is {config.log_level!r}, it must be debug, info, warning or error")


def _check_endpoints(ethereum: EthereumConfig) -> None:
    urls = ethereum.urls
    if not 1 <= len(urls) <= MAX_ENDPOINTS:
        raise ConfigurationError(f"ethereum.url: {len(urls)} endpoints, there must be from 1 to {MAX_ENDPOINTS}")
    try:
        parts = [split_url(url) for url in urls]
    except ValueError as error:
        raise ConfigurationError(f"ethereum.url: {error}") from None
    places = {(part.scheme, part.hostname, part.port, part.path.rstrip("/"), part.query) for part in parts}
    if len(places) != len(urls):
        raise ConfigurationError("ethereum.url: an endpoint is there twice, it would have two votes")
    if ethereum.quorum is not None and not 1 <= ethereum.quorum <= len(urls):
        raise ConfigurationError(f"ethereum.quorum is {ethereum.quorum}, it must be from 1 to {len(urls)}")


def _check_explorer(explorer: ExplorerConfig) -> None:
    for key in ("public_l1_url", "l1_explorer_url"):
        value = getattr(explorer, key)
        if value is not None:
            try:
                _check_public_url(value)
            except ValueError as error:
                raise ConfigurationError(f"explorer.{key}: {error}") from None
    if explorer.l1_explorer_url is not None and "?" in explorer.l1_explorer_url:
        raise ConfigurationError("explorer.l1_explorer_url: it is the beginning of links, so it has no query")
    url = explorer.public_l1_url
    if url is not None and split_url(url).scheme != "https" and split_url(url).hostname not in LOCAL_HOSTS:
        raise ConfigurationError(
            "explorer.public_l1_url: browsers ask it by https://, or by http:// on their own machine "
            f"({' or '.join(LOCAL_HOSTS)})"
        )


def _check_public_url(url: str) -> None:
    """Raises ValueError, which does not quote it, for what cannot stand in a page and be followed from there."""
    parts = split_url(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL that everybody sees holds no name and password")
    if parts.fragment or not all("!" <= character <= "~" for character in url) or set(url) & set("\"'<>\\"):
        raise ValueError("a URL has no fragment here, and is of visible ASCII")


def _resolve_paths(config: NodeConfig, base: Path) -> NodeConfig:
    def resolve(path: str) -> str:
        return str((base / path).resolve())

    def resolve_key(key: KeyConfig) -> KeyConfig:
        return KeyConfig(resolve(key.keystore), resolve(key.password_file))

    explorer = config.explorer
    token_file, links = explorer.operator_token_file, explorer.l1_explorer_url
    return msgspec.structs.replace(
        config,
        data_dir=resolve(config.data_dir),
        operator=resolve_key(config.operator),
        gas=resolve_key(config.gas),
        escrow=None if config.escrow is None else resolve_key(config.escrow),
        explorer=msgspec.structs.replace(
            explorer,
            operator_token_file=None if token_file is None else resolve(token_file),
            l1_explorer_url=None if links is None else links.rstrip("/"),
        ),
    )
