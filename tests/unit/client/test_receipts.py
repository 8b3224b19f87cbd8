"""The receipts on disk: as they came, never less than before, and found again."""

import stat
from pathlib import Path

import msgspec
import pytest

from client.protocol import decode_held_receipt, decode_payment_proof
from client.receipts import DamagedFile, Pending, ReceiptStore, get_receipts_directory
from tests.unit.client.scene import DOMAIN, Scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


@pytest.fixture
def store(tmp_path: Path) -> ReceiptStore:
    return ReceiptStore(DOMAIN.chain_id, tmp_path)


def test_a_receipt_is_kept_exactly_as_it_came(store: ReceiptStore, scene: Scene, tmp_path: Path) -> None:
    form = scene.get_receipt(scene.first)
    path = store.save(decode_held_receipt(form))
    assert path == tmp_path / str(DOMAIN.chain_id) / f"0x{scene.first.id.hex()}.json"
    assert msgspec.json.decode(path.read_bytes()) == form
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = store.find(scene.first.id)
    assert found is not None
    assert found.form == form
    assert list(store.get_ids()) == [scene.first.id]


def test_what_was_never_saved_is_not_found(store: ReceiptStore) -> None:
    assert store.find(bytes(32)) is None
    assert store.find_proof(bytes(32)) is None
    assert store.find_pending(bytes(32)) is None
    assert list(store.get_ids()) == []


def test_a_receipt_that_says_less_never_replaces_one_that_says_more(store: ReceiptStore, scene: Scene) -> None:
    accepted = {**scene.get_receipt(scene.first), "status": "accepted", "commitment": None}
    committed = scene.get_receipt(scene.first)
    final = scene.get_receipt(scene.first, "final")
    for form, kept in ((accepted, accepted), (committed, committed), (accepted, committed), (final, final)):
        store.save(decode_held_receipt(form))
        found = store.find(scene.first.id)
        assert found is not None
        assert found.form == kept


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]", b"\x00" * 100])
def test_a_damaged_file_is_named(store: ReceiptStore, scene: Scene, content: bytes) -> None:
    path = store.save(decode_held_receipt(scene.get_receipt(scene.first)))
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=path.name):
        store.find(scene.first.id)


def test_a_receipt_under_another_name_is_refused(store: ReceiptStore, scene: Scene) -> None:
    path = store.save(decode_held_receipt(scene.get_receipt(scene.first)))
    path.rename(store.get_path(scene.second.id))
    with pytest.raises(DamagedFile, match="something else"):
        store.find(scene.second.id)


def test_a_pending_payment_comes_back_as_it_was_signed(store: ReceiptStore, scene: Scene) -> None:
    signed = scene.first
    pending = Pending((signed,), 1_700_000_000_123)
    store.save_pending(pending)
    assert store.find_pending(signed.id) == pending
    assert list(store.get_pending_ids()) == [signed.id]
    assert list(store.get_ids()) == []
    store.remove_pending(signed.id)
    assert store.find_pending(signed.id) is None
    store.remove_pending(signed.id)


def test_a_proof_is_kept_beside_its_receipt(store: ReceiptStore, scene: Scene) -> None:
    form = {"receipt": scene.get_receipt(scene.withdrawal), "withdrawal": None, "assetIndex": None}
    store.save_proof(decode_payment_proof(form))
    found = store.find_proof(scene.withdrawal.id)
    assert found is not None
    assert found.form == form


def test_all_ledgers_that_there_are_receipts_of_are_found(store: ReceiptStore, scene: Scene, tmp_path: Path) -> None:
    assert ReceiptStore.get_all(tmp_path) == []
    store.save(decode_held_receipt(scene.get_receipt(scene.first)))
    (tmp_path / "notes").mkdir()
    assert [found.directory.name for found in ReceiptStore.get_all(tmp_path)] == [str(DOMAIN.chain_id)]


def test_the_directory_is_the_environment_s_if_it_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLY_RECEIPTS_DIR", "/somewhere")
    assert get_receipts_directory() == Path("/somewhere")
    monkeypatch.delenv("TALLY_RECEIPTS_DIR")
    monkeypatch.setenv("TALLY_HOME", "/home")
    assert get_receipts_directory() == Path("/home/receipts")
