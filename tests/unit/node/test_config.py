"""The node's configuration: what is read, from where, and what is refused by the name of its key."""

from pathlib import Path
from typing import Any

import pytest

from chain.params import Market
from node.config import (
    ConfigurationError,
    EthereumConfig,
    ExplorerConfig,
    KeyConfig,
    MarketConfig,
    NodeConfig,
    load_config,
    read_operator_token,
)

SETTLEMENT = "0x" + "5e" * 20
MINIMAL = f"""
[ethereum]
url = "http://127.0.0.1:8545"
chain_id = 31337
settlement = "{SETTLEMENT}"

[operator]
keystore = "operator.json"
password_file = "operator.password"

[gas]
keystore = "/keys/gas.json"
password_file = "../gas.password"
"""


def write(directory: Path, text: str | bytes) -> Path:
    path = directory / "node.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def load(directory: Path, top: str = "", environment: dict[str, str] | None = None, ethereum: str = "") -> NodeConfig:
    """The minimal file, with lines added at the top, or to its section `ethereum`."""
    text = top + MINIMAL.replace("[ethereum]\n", f"[ethereum]\n{ethereum}\n")
    return load_config(write(directory, text), environment or {})


def test_a_minimal_file_is_enough(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert config == NodeConfig(
        ethereum=EthereumConfig(url="http://127.0.0.1:8545", chain_id=31337, settlement=SETTLEMENT),
        operator=KeyConfig(str(tmp_path / "operator.json"), str(tmp_path / "operator.password")),
        gas=KeyConfig("/keys/gas.json", str(tmp_path.parent / "gas.password")),
        data_dir=str(tmp_path / "data"),
    )
    assert (config.port, config.epoch_seconds, config.host) == (8645, 3600, "127.0.0.1")


def test_paths_are_taken_from_the_directory_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    write(tmp_path / "etc", 'data_dir = "../var"\n' + MINIMAL)
    monkeypatch.chdir(tmp_path)
    config = load_config(Path("etc/node.toml"), {})
    assert config.data_dir == str(tmp_path / "var")
    assert config.operator.keystore == str(tmp_path / "etc" / "operator.json")


def test_without_a_file_all_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {
        "TALLYSTICK_ETHEREUM__URL": "http://l1",
        "TALLYSTICK_ETHEREUM__CHAIN_ID": "1",
        "TALLYSTICK_ETHEREUM__SETTLEMENT": SETTLEMENT,
        "TALLYSTICK_ETHEREUM__CONFIRMATIONS": "3",
        "TALLYSTICK_ETHEREUM__POLL_SECONDS": "0.5",
        "TALLYSTICK_OPERATOR__KEYSTORE": "o.json",
        "TALLYSTICK_OPERATOR__PASSWORD_FILE": "/run/secrets/o",
        "TALLYSTICK_GAS__KEYSTORE": "g.json",
        "TALLYSTICK_GAS__PASSWORD_FILE": "/run/secrets/g",
        "TALLYSTICK_PORT": "9000",
        "PATH": "/usr/bin",
        "tallystick_port": "1",
    }
    config = load_config(None, environment)
    assert (config.port, config.ethereum.chain_id, config.ethereum.confirmations) == (9000, 1, 3)
    assert config.ethereum.poll_seconds == 0.5
    assert config.operator.keystore == str(tmp_path / "o.json")


def test_the_environment_is_the_processes_own_unless_another_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLYSTICK_PORT", "9001")
    assert load_config(write(tmp_path, MINIMAL)).port == 9001
    assert load_config(write(tmp_path, MINIMAL), {}).port == 8645


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        "port = 7000\nepoch_seconds = 60\n",
        {"TALLYSTICK_PORT": "7001", "TALLYSTICK_ETHEREUM__URL": "http://b"},
    )
    assert (config.port, config.epoch_seconds, config.ethereum.url) == (7001, 60, "http://b")
    assert config.ethereum.settlement == SETTLEMENT


@pytest.mark.parametrize(
    "name",
    [
        "TALLYSTICK_PROT",
        "TALLYSTICK_",
        "TALLYSTICK_ETHEREUM__PORT",
        "TALLYSTICK_ETHEREUM_URL",
        "TALLYSTICK_LOGGING__LEVEL",
        "TALLYSTICK_ETHEREUM__URL__X",
        "TALLYSTICK__PORT",
    ],
)
def test_an_environment_variable_that_names_no_key_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError):
        load(tmp_path, "", {name: "1"})


@pytest.mark.parametrize("names", [["ETHEREUM", "ETHEREUM__URL"], ["ETHEREUM__URL", "ETHEREUM"]])
def test_a_section_is_no_value(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(ConfigurationError):
        load(tmp_path, "", {f"TALLYSTICK_{name}": "http://l1" for name in names})


@pytest.mark.parametrize(
    "top, ethereum, problem",
    [
        ("prot = 1\n", "", "prot"),
        ("", "confirmation = 1", "confirmation"),
        ("[logging]\nlevel = 'info'\n", "", "logging"),
        ("port = []\n", "", "port"),
        ("port = 'many'\n", "", "port"),
        ("port = 1.5\n", "", "port"),
        ("host = 1\n", "", "host"),
        ("port = -1\n", "", "port"),
        ("port = 65536\n", "", "port"),
        ("port = 99999999999999999999999999\n", "", "port"),
        ("epoch_seconds = 0\n", "", "epoch_seconds"),
        ("epoch_seconds = 2592001\n", "", "epoch_seconds"),
        ("verifiers = 0\n", "", "verifiers"),
        ("verifiers = 257\n", "", "verifiers"),
        ("max_body_bytes = 4095\n", "", "max_body_bytes"),
        ("max_body_bytes = 67108865\n", "", "max_body_bytes"),
        ("max_backlog = 0\n", "", "max_backlog"),
        ("max_clock_lead_seconds = 0\n", "", "max_clock_lead_seconds"),
        ("", "poll_seconds = 0", "ethereum.poll_seconds"),
        ("", "poll_seconds = nan", "ethereum.poll_seconds"),
        ("", "poll_seconds = inf", "ethereum.poll_seconds"),
        ("", "rebroadcast_seconds = 0", "ethereum.rebroadcast_seconds"),
        ("", "bump_seconds = -1", "ethereum.bump_seconds"),
        ("", "max_fee_gwei = 0", "ethereum.max_fee_gwei"),
        ("", "daily_budget_gwei = 0", "ethereum.daily_budget_gwei"),
        ("", "confirmations = 0", "ethereum.confirmations"),
        ("", "confirmations = 10001", "ethereum.confirmations"),
        ("log_level = 'loud'\n", "", "log_level"),
        ("log_format = 'xml'\n", "", "log_format"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_its_key(tmp_path: Path, top: str, ethereum: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        load(tmp_path, top, ethereum=ethereum)


@pytest.mark.parametrize("key", ["url", "chain_id", "settlement", "keystore", "password_file"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    text = "\n".join(line for line in MINIMAL.splitlines() if not line.startswith(key))
    with pytest.raises(ConfigurationError, match=key):
        load_config(write(tmp_path, text), {})


@pytest.mark.parametrize("section", ["ethereum", "operator", "gas"])
def test_a_missing_section_is_named(tmp_path: Path, section: str) -> None:
    sections = [part for part in MINIMAL.strip().split("\n\n") if not part.startswith(f"[{section}]")]
    with pytest.raises(ConfigurationError, match=section):
        load_config(write(tmp_path, "\n\n".join(sections)), {})


@pytest.mark.parametrize("settlement", ["", "5e" * 20, "0x" + "5e" * 19, "0x" + "zz" * 20, SETTLEMENT + "00"])
def test_the_settlement_is_an_address(tmp_path: Path, settlement: str) -> None:
    with pytest.raises(ConfigurationError, match=r"ethereum\.settlement"):
        load(tmp_path, "", {"TALLYSTICK_ETHEREUM__SETTLEMENT": settlement})


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8545", "localhost:8545", "ws://127.0.0.1:8545", "http://", "http://a:b"]
)
def test_an_endpoint_is_a_url_of_http(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"ethereum\.url: "):
        load(tmp_path, environment={"TALLYSTICK_ETHEREUM__URL": url})


def test_endpoints_are_one_url_or_a_list(tmp_path: Path) -> None:
    urls = ("http://a/key", "https://b", "http://c:1")
    listed = MINIMAL.replace('url = "http://127.0.0.1:8545"', f"url = {list(urls)}\nquorum = 3")
    assert listed != MINIMAL
    config = load_config(write(tmp_path, listed), {})
    assert (config.ethereum.urls, config.ethereum.quorum) == (urls, 3)
    environment = {
        "TALLYSTICK_ETHEREUM__URL": " http://a/key https://b\n\thttp://c:1 ",
        "TALLYSTICK_ETHEREUM__QUORUM": "1",
    }
    config = load(tmp_path, environment=environment)
    assert (config.ethereum.urls, config.ethereum.quorum) == (urls, 1)
    assert load(tmp_path).ethereum.quorum is None
    assert len(load(tmp_path).ethereum.urls) == 1


@pytest.mark.parametrize(
    "urls",
    [
        "http://a/secret http://a/secret",
        "http://a/secret http://b http://A/secret/",
        "http://a/secret ws://b",
        "http://a/secret http://",
        " ",
        " ".join([f"http://a:{port}" for port in range(1, 18)]),
    ],
)
def test_endpoints_that_cannot_be_are_refused_and_not_quoted(tmp_path: Path, urls: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^ethereum\.url: ") as caught:
        load(tmp_path, environment={"TALLYSTICK_ETHEREUM__URL": urls})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("urls", "quorum"), [("http://a", "0"), ("http://a", "2"), ("http://a http://b", "3")])
def test_a_quorum_is_of_the_endpoints_that_there_are(tmp_path: Path, urls: str, quorum: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"ethereum\.quorum is {quorum}, it must be from 1 to"):
        load(tmp_path, environment={"TALLYSTICK_ETHEREUM__URL": urls, "TALLYSTICK_ETHEREUM__QUORUM": quorum})


@pytest.mark.parametrize("chain_id", ["0", "-1", str(2**64)])
def test_a_chain_id_is_a_positive_u64(tmp_path: Path, chain_id: str) -> None:
    with pytest.raises(ConfigurationError, match=r"ethereum\.chain_id"):
        load(tmp_path, "", {"TALLYSTICK_ETHEREUM__CHAIN_ID": chain_id})


@pytest.mark.parametrize("text", ["port = ", "[ethereum", "port = 1\nport = 2\n", b"\xff\xfe", "port: 1", "\x00"])
def test_what_is_no_toml_is_refused_with_the_name_of_the_file(tmp_path: Path, text: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"node\.toml"):
        load_config(write(tmp_path, text), {})


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml"):
        load_config(tmp_path / "none.toml", {})
    with pytest.raises(ConfigurationError):
        load_config(tmp_path, {})


def test_a_file_is_utf8_whatever_the_locale(tmp_path: Path) -> None:
    config = load(tmp_path, 'data_dir = "Bücher"\n')
    assert config.data_dir == str(tmp_path / "Bücher")


def test_bounds_themselves_are_allowed(tmp_path: Path) -> None:
    config = load(tmp_path, "port = 0\nepoch_seconds = 1\nverifiers = 256\n", ethereum="confirmations = 1")
    assert (config.port, config.epoch_seconds, config.verifiers, config.ethereum.confirmations) == (0, 1, 256, 1)


# --- the explorer's part

TOKEN = "correct-horse-battery-staple"


def load_explorer(directory: Path, lines: str) -> NodeConfig:
    return load_config(write(directory, f"{MINIMAL}\n[explorer]\n{lines}\n"), {})


def test_without_its_section_the_explorer_suggests_nothing_and_the_operators_page_is_off(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert config.explorer == ExplorerConfig(None, None, None)
    assert read_operator_token(config) is None


def test_the_explorers_section_is_read(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"  {TOKEN}\n")
    config = load_explorer(
        tmp_path,
        'operator_token_file = "token"\npublic_l1_url = "https://l1.example/v2/public?a=b"\n'
        'l1_explorer_url = "https://sepolia.etherscan.io/"',
    )
    assert config.explorer == ExplorerConfig(
        operator_token_file=str(tmp_path / "token"),
        public_l1_url="https://l1.example/v2/public?a=b",
        l1_explorer_url="https://sepolia.etherscan.io",
    )
    assert read_operator_token(config) == TOKEN
    assert TOKEN not in repr(config)


def test_the_environment_reaches_the_explorers_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(TOKEN)
    config = load(
        tmp_path,
        environment={
            "TALLYSTICK_EXPLORER__OPERATOR_TOKEN_FILE": str(tmp_path / "token"),
            "TALLYSTICK_EXPLORER__PUBLIC_L1_URL": "http://localhost:8545",
        },
    )
    assert config.explorer.public_l1_url == "http://localhost:8545"
    assert read_operator_token(config) == TOKEN
    with pytest.raises(ConfigurationError, match="token"):
        load(tmp_path, environment={"TALLYSTICK_EXPLORER__TOKEN": TOKEN})


@pytest.mark.parametrize(
    "content",
    ["", "a" * 15, " " * 40, f"{'a' * 15}\n", "a" * 1025, "two words of a token", "clé-" * 8, "a" * 16 + "\0"],
)
def test_what_is_no_token_is_refused_and_not_quoted(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    with pytest.raises(ConfigurationError, match=r"explorer\.operator_token_file: ") as refused:
        load_explorer(tmp_path, 'operator_token_file = "token"')
    assert not content.strip() or content.strip() not in str(refused.value)


@pytest.mark.parametrize("path", ["none", ".", ""])
def test_a_token_that_cannot_be_read_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigurationError, match=r"explorer\.operator_token_file: "):
        load_explorer(tmp_path, f'operator_token_file = "{path}"')


@pytest.mark.parametrize("key", ["public_l1_url", "l1_explorer_url"])
@pytest.mark.parametrize(
    "url",
    [
        "", "localhost:8545", "ws://localhost", "javascript:alert(1)", "//l1.example", "https://", "https://a:b",
        "https://user@l1.example", "https://user:secret@l1.example", "https://l1.example/#part",
        "https://l1.example/a b", "https://l1.example/\\\"><script>", "https://l1.example/ü",
    ],
)  # fmt: skip
def test_a_url_for_readers_is_one_that_a_page_can_show(tmp_path: Path, key: str, url: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"explorer\.{key}: ") as refused:
        load_explorer(tmp_path, f'{key} = "{url}"')
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://l1.example", "http://192.168.1.7:8545", "http://ethereum:8545"])
def test_an_endpoint_that_browsers_would_not_ask_is_not_suggested(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"explorer\.public_l1_url: .*https"):
        load_explorer(tmp_path, f'public_l1_url = "{url}"')
    assert load_explorer(tmp_path, f'l1_explorer_url = "{url}"').explorer.l1_explorer_url == url


def test_links_begin_with_a_url_that_has_no_query(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"explorer\.l1_explorer_url: "):
        load_explorer(tmp_path, 'l1_explorer_url = "https://l1.example/?chain=1"')


@pytest.mark.parametrize("line", ["token = 'x'", "operator_token_file = 1", "public_l1_url = ['a']"])
def test_the_explorers_section_refuses_what_it_does_not_know(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigurationError, match=line.split(" ", maxsplit=1)[0]):
        load_explorer(tmp_path, line)


# --- the data exchange's part

ASSET, LATER_ASSET = "0x" + "7e" * 20, "0x" + "7F" * 20


def load_market(directory: Path, lines: str, environment: dict[str, str] | None = None) -> NodeConfig:
    return load_config(write(directory, f"{MINIMAL}\n[market]\n{lines}\n"), environment or {})


def test_without_its_section_a_price_is_halved_and_storage_not_paid_for(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert config.market == MarketConfig() and config.escrow is None
    assert config.market.to_market() == Market(5_000, 5_000, 0, ())


def test_the_markets_section_is_read(tmp_path: Path) -> None:
    lines = "validator_share = 5000\nowner_share = 4500\ncommission = 500\n[market.storage_rates]\n"
    market = load_market(tmp_path, lines + f'"{LATER_ASSET}" = 1\n"{ASSET}" = {2**63 - 1}').market.to_market()
    rates = ((bytes.fromhex(ASSET[2:]), 2**63 - 1), (bytes.fromhex(LATER_ASSET[2:]), 1))
    assert market == Market(5_000, 4_500, 500, rates), "in the order of the assets, whatever that of the lines"


def test_the_environment_reaches_the_markets_section(tmp_path: Path) -> None:
    environment = {
        "TALLYSTICK_MARKET__VALIDATOR_SHARE": "9000",
        "TALLYSTICK_MARKET__OWNER_SHARE": "0",
        "TALLYSTICK_MARKET__COMMISSION": "1000",
        f"TALLYSTICK_MARKET__STORAGE_RATES__{ASSET.upper()}": str(2**64 - 1),
    }
    market = load(tmp_path, environment=environment).market.to_market()
    assert market == Market(9_000, 0, 1_000, ((bytes.fromhex(ASSET[2:]), 2**64 - 1),))


@pytest.mark.parametrize(
    "lines, problem",
    [
        ("validator_share = 5001", "sum to 10001"),
        ("validator_share = 4999", "sum to 9999"),
        ("commission = 500", "sum to 10500"),
        ("validator_share = 0\nowner_share = 0", "sum to 0"),
        ("validator_share = 50\nowner_share = 50", "sum to 100"),
        ("validator_share = 10001\nowner_share = -1", "from 0 to 10000"),
        ("validator_share = 5000\nowner_share = 5500\ncommission = -500", "from 0 to 10000"),
        ("commission = 0.5", "commission"),
        ("commission = 'a twentieth'", "commission"),
        ("shares = 1", "shares"),
        ("storage_rates = 1", "storage_rates"),
        (f"storage_rates = {{ '{ASSET}' = 0 }}", "from 1 to 2"),
        (f"storage_rates = {{ '{ASSET}' = -1 }}", "from 1 to 2"),
        (f"storage_rates = {{ '{ASSET}' = 1.5 }}", "storage_rates"),
        (f"storage_rates = {{ '{ASSET[:-2]}' = 1 }}", r"market\.storage_rates"),
        ("storage_rates = { ether = 1 }", r"market\.storage_rates"),
        (f"storage_rates = {{ '{ASSET}' = 1, '{ASSET.upper()}' = 1 }}", "twice"),
        (
            "storage_rates = {" + ", ".join([f"'0x{number:040x}' = 1" for number in range(33)]) + "}",
            "at most 32 assets",
        ),
    ],
)
def test_a_market_that_pays_out_another_sum_or_at_no_rate_is_refused(tmp_path: Path, lines: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as refused:
        load_market(tmp_path, lines)
    assert "market" in str(refused.value)


def test_the_escrows_key_is_named_as_the_others_are(tmp_path: Path) -> None:
    lines = '[escrow]\nkeystore = "escrow.json"\npassword_file = "/keys/escrow.password"\n'
    config = load_config(write(tmp_path, MINIMAL + lines), {})
    assert config.escrow == KeyConfig(str(tmp_path / "escrow.json"), "/keys/escrow.password")
    for missing in ("keystore", "password_file"):
        text = MINIMAL + "\n".join(line for line in lines.splitlines() if not line.startswith(missing))
        with pytest.raises(ConfigurationError, match=missing):
            load_config(write(tmp_path, text), {})
