"""What `tally deploy` shows and refuses before it sends, and the configuration that it writes."""

from pathlib import Path

import msgspec
import pytest

from chain.primitives import ETHER
from client.amounts import format_amount
from client.cli.deployment import FeeCapTooLow, InsufficientFunds, check_quote, describe_quote
from client.cli.node_config import NodeSettings, encode_node_config
from client.cli.undertaking import OtherUndertaking, Undertaking
from contracts import load_gas
from node.config import KeyConfig, load_config
from node.ethereum.deploy import Quote, Signed, compute_contract_address
from node.ethereum.submission import Fees

GWEI = 10**9
ACCOUNT = bytes.fromhex("f39fd6e51aad88f6f4ce6ab8827279cfffb92266")
TOKEN = b"\x70" * 20
QUOTE = Quote(
    l1_chain_id=11_155_111,
    nonce=3,
    waiting_count=0,
    balance=10**18,
    value=0,
    gas_estimate=3_000_000,
    gas_limit=4_000_000,
    base_fee=5 * GWEI,
    fees=Fees(11 * GWEI, GWEI),
)


def test_the_costs_are_shown_in_whole_before_anything_is_sent() -> None:
    shown = dict(describe_quote(QUOTE, ACCOUNT, 1)[:-1])
    hourly = load_gas()["commit, 1 asset"] * 6  # gwei: base fee and priority fee
    assert shown["chain"] == "Sepolia (11155111)"
    assert shown["account"] == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert shown["balance"] == "1 ETH"
    assert shown["gas"] == "3000000 estimated, 4000000 at most"
    assert shown["fees"] == "base fee 5 gwei; offered: 11 gwei at most, 1 gwei of it as priority fee"
    assert shown["costs"] == "0.018 ETH at the fees of now"
    assert shown["at most"] == "0.044 ETH"
    assert (
        shown["afterwards"]
        == f"a commitment an hour costs {hourly / 10**9:.9f}".rstrip("0") + " ETH at the fees of now:"
    )
    day, month = [format_amount(hourly * hours, 9) for hours in (24, 24 * 30)]
    assert describe_quote(QUOTE, ACCOUNT, 1)[-1][1] == f"{day} ETH a day, {month} ETH in 30 days"


def test_a_chain_without_a_base_fee_is_described_as_one() -> None:
    quote = msgspec.structs.replace(QUOTE, base_fee=None, fees=Fees(3 * GWEI, 3 * GWEI), l1_chain_id=56)
    shown = dict(describe_quote(quote, ACCOUNT, 1))
    assert shown["fees"] == "3 gwei (this chain has no base fee)"
    assert shown["chain"] == "a chain without a well-known name (56)"
    check_quote(quote, ACCOUNT)


def test_what_cannot_be_paid_for_is_refused_with_what_is_missing() -> None:
    check_quote(msgspec.structs.replace(QUOTE, balance=44 * 10**15), ACCOUNT)
    with pytest.raises(InsufficientFunds, match=r"send it 0\.000000000000000001 ETH more"):
        check_quote(msgspec.structs.replace(QUOTE, balance=44 * 10**15 - 1), ACCOUNT)


def test_a_cap_below_the_base_fee_is_refused() -> None:
    check_quote(msgspec.structs.replace(QUOTE, fees=Fees(5 * GWEI, GWEI)), ACCOUNT)
    with pytest.raises(FeeCapTooLow, match="asks for 5 gwei for a gas, and --max-fee-gwei allows 4 gwei"):
        check_quote(msgspec.structs.replace(QUOTE, fees=Fees(4 * GWEI, GWEI)), ACCOUNT)


# --- the configuration


def make_settings(directory: Path, **changes: object) -> NodeSettings:
    settings = NodeSettings(
        l1_url='https://rpc.example/key"\\',
        l1_chain_id=11_155_111,
        settlement=ACCOUNT,
        has_finalized=True,
        max_fee_gwei=40,
        daily_budget_gwei=20_000_000,
        operator=(directory / "keys" / "operator.json", directory / "password"),
        gas=(Path("/elsewhere/gas.json"), directory / "password"),
    )
    return msgspec.structs.replace(settings, **changes)


def test_the_configuration_is_one_that_a_node_takes(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text(encode_node_config(make_settings(tmp_path), tmp_path))
    config = load_config(path, {})
    assert config.ethereum.url == 'https://rpc.example/key"\\'
    assert config.ethereum.chain_id == 11_155_111
    assert bytes.fromhex(config.ethereum.settlement[2:]) == ACCOUNT
    assert config.ethereum.confirmations is None  # by the chain's own `finalized` block
    assert (config.ethereum.max_fee_gwei, config.ethereum.daily_budget_gwei) == (40, 20_000_000)
    assert config.operator == KeyConfig(str(tmp_path / "keys/operator.json"), str(tmp_path / "password"))
    assert config.gas == KeyConfig("/elsewhere/gas.json", str(tmp_path / "password"))
    assert config.escrow is None
    assert config.market.storage_rates == {}


def test_what_lies_beside_the_configuration_is_named_by_its_relative_path(tmp_path: Path) -> None:
    text = encode_node_config(make_settings(tmp_path), tmp_path)
    assert 'keystore = "keys/operator.json"' in text
    assert str(tmp_path) not in text


def test_escrow_and_rates_are_written_if_they_are_given(tmp_path: Path) -> None:
    settings = make_settings(
        tmp_path, escrow=(tmp_path / "escrow.json", tmp_path / "password"), storage_rates=((ETHER, 20), (TOKEN, 3))
    )
    path = tmp_path / "node.toml"
    path.write_text(encode_node_config(settings, tmp_path))
    config = load_config(path, {})
    assert config.escrow == KeyConfig(str(tmp_path / "escrow.json"), str(tmp_path / "password"))
    assert config.market.to_market().storage_rates == ((ETHER, 20), (TOKEN, 3))


@pytest.mark.parametrize(
    ("l1_chain_id", "has_finalized", "confirmations"),
    [
        (1, True, None),
        (11_155_111, True, None),
        (31_337, True, 1),
        (31_337, False, 1),
        (77, True, None),
        (77, False, 64),
    ],
)
def test_confirmations_are_the_chains_own_where_it_has_any(
    tmp_path: Path, l1_chain_id: int, has_finalized: bool, confirmations: int | None
) -> None:
    settings = make_settings(tmp_path, l1_chain_id=l1_chain_id, has_finalized=has_finalized)
    path = tmp_path / "node.toml"
    path.write_text(encode_node_config(settings, tmp_path))
    assert load_config(path, {}).ethereum.confirmations == confirmations


def test_what_is_commented_out_is_what_the_node_takes_it_for(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    text = encode_node_config(make_settings(tmp_path), tmp_path)
    path.write_text(text)
    plain = load_config(path, {})
    for line in (
        "# data_dir",
        "# host",
        "# port",
        "# epoch_seconds",
        "# validator_share",
        "# owner_share",
        "# commission",
    ):
        assert line in text
        text = text.replace(line, line[2:])
    path.write_text(text)
    assert load_config(path, {}) == plain


# --- a deployment under way


@pytest.fixture
def undertaking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Undertaking:
    monkeypatch.setenv("TALLY_HOME", str(tmp_path))
    return Undertaking(11_155_111, ACCOUNT)


SIGNED = (Signed(b"\x01" * 32, b"\x02\x03", 7, Fees(9, 1)), Signed(b"\x04" * 32, b"\x02\x05", 7, Fees(19, 2)))


def test_what_was_signed_is_found_again_by_chain_key_and_code(undertaking: Undertaking) -> None:
    assert undertaking.find(b"code") == ()
    undertaking.keep(b"code", SIGNED[:1])
    undertaking.keep(b"code", SIGNED)
    assert Undertaking(11_155_111, ACCOUNT).find(b"code") == SIGNED
    assert Undertaking(1, ACCOUNT).find(b"code") == ()
    assert Undertaking(11_155_111, TOKEN).find(b"code") == ()
    assert undertaking.path.stat().st_mode & 0o077 == 0
    undertaking.end()
    assert undertaking.find(b"code") == ()
    undertaking.end()


def test_another_deployment_does_not_begin_beside_one_that_is_under_way(undertaking: Undertaking) -> None:
    undertaking.keep(b"code", SIGNED)
    with pytest.raises(OtherUndertaking, match=r"0x0404.*delete"):
        undertaking.find(b"other code")


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 99, b'{"version": 2}'])
def test_a_file_that_cannot_be_read_stops_it(undertaking: Undertaking, content: bytes) -> None:
    undertaking.keep(b"code", SIGNED)
    undertaking.path.write_bytes(content)
    with pytest.raises(OtherUndertaking, match="cannot be read"):
        undertaking.find(b"code")


def test_a_file_of_another_key_stops_it(undertaking: Undertaking) -> None:
    undertaking.keep(b"code", SIGNED)
    other = Undertaking(11_155_111, TOKEN)
    undertaking.path.rename(other.path)
    with pytest.raises(OtherUndertaking, match="another version, chain or key"):
        other.find(b"code")


def test_the_address_of_a_contract_follows_from_its_creators_nonce() -> None:
    """The first contracts of the first well-known development account, as everybody knows them."""
    found = [compute_contract_address(ACCOUNT, nonce).hex() for nonce in (0, 1)]
    assert found == ["5fbdb2315678afecb367f032d93f642f64180aa3", "e7f1725e7734ce288f8367e1bb143e90bb3f0512"]
