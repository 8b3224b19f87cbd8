"""Selling files: `upload list-file extend`."""

import mimetypes
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from chain import wire
from chain.hashing import keccak
from chain.instruction import ListFile, check_structure
from chain.market import SERVICE_NODE
from chain.primitives import MAX_STORAGE_DAYS, ZERO_HASH, Address, Hash
from chain.sealing import escrow_context, seal_key
from client.cli import consent, options, output
from client.cli.exits import BadUsage
from client.cli.market import FileId
from client.cli.payments import Out, show_receipt
from client.content import (
    ContentFacts,
    WrongContent,
    encrypt_content,
    generate_file_key,
    measure_content,
    measure_encrypted_content,
)
from client.file_keys import FileKey, FileKeyStore
from client.keys import SigningKey, generate_key
from client.ledgers import Ledger
from client.listings import fetch_file
from client.node import Node
from client.protocol import NodeInfo
from client.quotes import confirm_quote, describe_extension, describe_upload, make_extension, make_upload
from client.wallet import NonceReservations

_SUFFIX: Final = ".encrypted"

Content = Annotated[Path, typer.Argument(metavar="PATH", help="The file with the content.")]
Price = Annotated[str, typer.Option("--price", help="What a buyer pays, in units of the asset, such as 1.5.")]
Owner = Annotated[str, typer.Option("--owner", help="Whose content it is: an address, or a key's name.")]
Days = Annotated[int, typer.Option("--days", min=1, max=MAX_STORAGE_DAYS, help="How long it is kept.")]
FileName = Annotated[str | None, typer.Option("--name", help=r"What to call it. \[the file's name]")]
MediaType = Annotated[str | None, typer.Option("--media-type", help=r"Such as text/csv. \[by the name]")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="To be found by; more than once for more.")]
Description = Annotated[str, typer.Option("--description", help="At most 512 bytes of text.")]
ChosenId = Annotated[
    str | None, typer.Option("--id", help=r"The file's id. \[the hash of your address and the content's SHA-256]")
]
IsPlain = Annotated[bool, typer.Option("--plain", help="Do not encrypt the content.")]
KeepsKey = Annotated[
    bool, typer.Option("--keep-key", help="Hand the key to buyers yourself, and leave none with the node.")
]
ServiceNode = Annotated[
    str | None, typer.Option("--service-node", help=r"Who keeps it: an address. \[the only one there is]")
]
StorageAsset = Annotated[
    str | None, typer.Option("--storage-asset", help=r"What keeping it is paid in. \[the asset of the price]")
]


def register(app: typer.Typer) -> None:
    app.command()(upload)
    app.command("list-file")(list_file)
    app.command()(extend)


class _Wanted(msgspec.Struct, frozen=True):
    """What the options say of a listing."""

    path: Path
    price: str
    is_base_units: bool
    asset_name: str | None
    owner: Address
    days: int
    name: str | None
    media_type: str | None
    tags: tuple[str, ...]
    description: str
    chosen_id: Hash | None
    is_plain: bool
    keeps_key: bool


class _Draft(msgspec.Struct, frozen=True):
    """A listing that is ready to be signed, and the key that its content is to be encrypted with."""

    listing: ListFile
    file_key: FileKey | None


def upload(
    path: Content,
    price: Price,
    owner: Owner,
    days: Days,
    service_node: ServiceNode = None,
    asset_name: options.AssetName = None,
    storage_asset: StorageAsset = None,
    name: FileName = None,
    media_type: MediaType = None,
    tags: Tags = None,
    description: Description = "",
    chosen_id: ChosenId = None,
    is_plain: IsPlain = False,
    keeps_key: KeepsKey = False,
    is_confirmed: consent.Yes = False,
    is_base_units: options.BaseUnits = False,
    node_url: options.NodeUrl = options.DEFAULT_NODE_URL,
    l1_url: options.L1Url = options.DEFAULT_L1_URL,
    settlement: options.Settlement = None,
    key: options.Key = None,
    private_key: options.PrivateKey = None,
    keys_dir: options.KeysDir = None,
    password_file: options.PasswordFile = None,
    is_json: options.Json = False,
) -> None:
    """List a file for sale and pay a service node for keeping it: both or neither.

    The content is encrypted to PATH.encrypted, which is what you give to the service node; the key is on your disk
    before anything is sent.
    """
    wanted = _read_options(
        path, price, owner, days, asset_name, name, media_type, tags, description, chosen_id, is_plain, keeps_key,
        is_base_units, keys_dir,
    )  # fmt: skip
    keeper = None if service_node is None else options.parse_recipient(service_node, keys_dir)
    signer = options.load_key(key, private_key, keys_dir, password_file)
    with Node(node_url) as node:
        info, ledger = options.contact(node, l1_url, settlement)
        draft = _draft(node, info, ledger, signer, wanted)
        listing = draft.listing
        paid_in = listing.asset if storage_asset is None else options.choose_asset(storage_asset, info.assets).address
        keeper = _find_service_node(node) if keeper is None else keeper
        payment = make_upload(listing, keeper, paid_in, info.parameters.market)
        confirm_quote(node, payment, describe_upload(listing, keeper, paid_in))
        consent.ask_for_payment(
            payment,
            info.assets,
            roles={keeper: "service node"},
            more=consent.describe_instruction(listing, info.assets),
            is_confirmed=is_confirmed,
        )
        kept = _keep(draft, wanted.path, ledger)
        wallet = options.open_wallet(node, signer, ledger)
        listed, paid = wallet.upload(listing, payment)
        if is_json:
            output.print_json({**kept, "listing": listed.form, "payment": paid.form})
            return
        output.print_receipt(listed, info.assets, str(wallet.receipts.get_path(listed.id)))
        output.print_line("")
        output.print_receipt(paid, info.assets, str(wallet.receipts.get_path(paid.id)))
    _show_kept(kept)


def list_file(
    path: Content,
    price: Price,
    owner: Owner,
    days: Days,
    asset_name: options.AssetName = None,
    name: FileName = None,
    media_type: MediaType = None,
    tags: Tags = None,
    description: Description = "",
    chosen_id: ChosenId = None,
    is_plain: IsPlain = False,
    keeps_key: KeepsKey = False,
    out: Out = None,
    is_confirmed: consent.Yes = False,
    is_base_units: options.BaseUnits = False,
    node_url: options.NodeUrl = options.DEFAULT_NODE_URL,
    l1_url: options.L1Url = options.DEFAULT_L1_URL,
    settlement: options.Settlement = None,
    key: options.Key = None,
    private_key: options.PrivateKey = None,
    keys_dir: options.KeysDir = None,
    password_file: options.PasswordFile = None,
    is_json: options.Json = False,
) -> None:
    """List a file for sale that you keep yourself; its owner must be registered under you."""
    wanted = _read_options(
        path, price, owner, days, asset_name, name, media_type, tags, description, chosen_id, is_plain, keeps_key,
        is_base_units, keys_dir,
    )  # fmt: skip
    signer = options.load_key(key, private_key, keys_dir, password_file)
    with Node(node_url) as node:
        info, ledger = options.contact(node, l1_url, settlement)
        draft = _draft(node, info, ledger, signer, wanted)
        consent.ask_for_instruction(draft.listing, info.assets, is_confirmed=is_confirmed)
        kept = _keep(draft, wanted.path, ledger)
        wallet = options.open_wallet(node, signer, ledger)
        show_receipt(wallet.instruct(draft.listing), info.assets, wallet.receipts, out, is_json)
    if not is_json:
        _show_kept(kept)


def extend(
    file_id: FileId,
    days: Annotated[int, typer.Option("--days", min=1, max=MAX_STORAGE_DAYS, help="So many days longer.")],
    storage_asset: StorageAsset = None,
    out: Out = None,
    is_confirmed: consent.Yes = False,
    node_url: options.NodeUrl = options.DEFAULT_NODE_URL,
    l1_url: options.L1Url = options.DEFAULT_L1_URL,
    settlement: options.Settlement = None,
    key: options.Key = None,
    private_key: options.PrivateKey = None,
    keys_dir: options.KeysDir = None,
    password_file: options.PasswordFile = None,
    is_json: options.Json = False,
) -> None:
    """Pay a file's service node for keeping it longer."""
    file = options.parse_hash(file_id, "FILE_ID")
    signer = options.load_key(key, private_key, keys_dir, password_file)
    with Node(node_url) as node:
        info, ledger = options.contact(node, l1_url, settlement)
        listed = fetch_file(node, file, ledger).info
        paid_in = listed.asset if storage_asset is None else options.choose_asset(storage_asset, info.assets).address
        payment = make_extension(listed.as_file(), days, paid_in, info.parameters.market)
        # Whoever signs pays; that a file is another's is for the ledger to refuse by name.
        payment = msgspec.structs.replace(payment, payer=signer.address)
        confirm_quote(node, payment, describe_extension(payment, days))
        until = listed.keep_until + days * 86_400
        more = [("file", output.show_text(listed.name)), ("kept until", output.show_time(listed.keep_until)),
                ("then until", output.show_time(until))]  # fmt: skip
        roles = {} if listed.service_node is None else {listed.service_node: "service node"}
        consent.ask_for_payment(payment, info.assets, roles=roles, more=more, is_confirmed=is_confirmed)
        wallet = options.open_wallet(node, signer, ledger)
        show_receipt(wallet.send(payment), info.assets, wallet.receipts, out, is_json)


# --- listings


def _read_options(
    path: Path,
    price: str,
    owner: str,
    days: int,
    asset_name: str | None,
    name: str | None,
    media_type: str | None,
    tags: list[str] | None,
    description: str,
    chosen_id: str | None,
    is_plain: bool,
    keeps_key: bool,
    is_base_units: bool,
    keys_dir: Path | None,
) -> _Wanted:
    if not path.is_file():
        raise BadUsage(f"{path}: there is no such file")
    if is_plain and keeps_key:
        raise BadUsage("--plain content has no key to keep")
    return _Wanted(
        path=path,
        price=price,
        is_base_units=is_base_units,
        asset_name=asset_name,
        owner=options.parse_recipient(owner, keys_dir),
        days=days,
        name=name,
        media_type=media_type,
        tags=tuple(tags or ()),
        description=description,
        chosen_id=None if chosen_id is None else options.parse_hash(chosen_id, "--id"),
        is_plain=is_plain,
        keeps_key=keeps_key,
    )


def _draft(node: Node, info: NodeInfo, ledger: Ledger, signer: SigningKey, wanted: _Wanted) -> _Draft:
    """Raises what the structure of a listing is refused for, and `BadUsage`. Nothing is written yet."""
    asset = options.choose_asset(wanted.asset_name, info.assets)
    price = options.read_amount(wanted.price, asset, is_base_units=wanted.is_base_units)
    facts = measure_content(wanted.path)
    file = wanted.chosen_id or keccak(signer.address + facts.content_hash)
    name = wanted.name or wanted.path.name
    file_key = None if wanted.is_plain else _choose_key(ledger, file, facts, name)
    if file_key is not None:
        _check_target(_get_target(wanted.path), file_key)
    sealed_key = b""
    if file_key is not None and info.escrow is not None and not wanted.keeps_key:
        context = escrow_context(ledger.domain, signer.address, file)
        sealed_key = seal_key(file_key.key, info.escrow, context, generate_key().export_secret())
    media_type = mimetypes.guess_type(name)[0] if wanted.media_type is None else wanted.media_type
    listing = ListFile(
        account=signer.address,
        # Of the quote; the wallet chooses it anew when it signs.
        nonce=NonceReservations().reserve(node.get_account(signer.address)),
        valid_until=0,
        file=file,
        owner=wanted.owner,
        asset=asset.address,
        price=price,
        size=facts.size,
        storage_days=wanted.days,
        content_hash=facts.content_hash,
        name=name,
        media_type=media_type or "",
        tags=wanted.tags,
        description=wanted.description,
        key_hash=ZERO_HASH if file_key is None else keccak(file_key.key),
        sealed_key=sealed_key,
    )
    check_structure(listing)
    return _Draft(listing, file_key)


def _choose_key(ledger: Ledger, file: Hash, facts: ContentFacts, name: str) -> FileKey:
    """A new one; or that of an attempt before, if it was for this very content: one key never encrypts two."""
    found = FileKeyStore(ledger.domain.chain_id).find(file)
    if found is None:
        return FileKey(file, generate_file_key(), facts.content_hash, name)
    if found.content_hash != facts.content_hash:
        raise BadUsage(f"the key of file {wire.encode_bytes(file)} is one of other content: choose another --id")
    return found


def _check_target(target: Path, file_key: FileKey) -> None:
    """Raises `BadUsage` for a file of that name that is not what would be written there."""
    if target.exists() and measure_encrypted_content(target, file_key.key).content_hash != file_key.content_hash:
        raise BadUsage(f"{target} is there already, and is something else")


def _get_target(path: Path) -> Path:
    return path.with_name(path.name + _SUFFIX)


def _find_service_node(node: Node) -> Address:
    page = node.list_registrations(role=SERVICE_NODE, limit=2)
    if page.count == 1 and len(page.items) == 1:
        return page.items[0].account
    raise BadUsage(f"{page.count} service nodes are registered: --service-node says which one")


def _keep(draft: _Draft, path: Path, ledger: Ledger) -> dict[str, Any]:
    """Puts the key on disk, and the encrypted content beside the one in the clear; what needs them is sent after."""
    kept: dict[str, Any] = {"file": wire.encode_bytes(draft.listing.file), "key": None, "encrypted": None}
    facts = ContentFacts(draft.listing.size, draft.listing.content_hash)
    if draft.file_key is None:
        _check_facts(measure_content(path), facts, path)
        return kept
    target = _get_target(path)
    kept |= {"key": str(FileKeyStore(ledger.domain.chain_id).add(draft.file_key)), "encrypted": str(target)}
    if not target.exists():  # else it is what an attempt before has written
        found = encrypt_content(path, target, draft.file_key.key)
        if found != facts:
            target.unlink()  # the key is for that other content, and for nothing else
        _check_facts(found, facts, path)
    return kept


def _check_facts(found: ContentFacts, listed: ContentFacts, path: Path) -> None:
    if found != listed:
        raise WrongContent(f"{path} has changed since it was measured; nothing was sent")


def _show_kept(kept: dict[str, Any]) -> None:
    output.print_line("")
    output.print_fields([(name, str(value)) for name, value in kept.items() if value is not None])
