"""What is for sale: `files file`."""

from typing import Annotated, Final

import typer

from chain import wire
from chain.market import compute_named_shares
from client.cli import options, output
from client.cli.market import FileId
from client.listings import CheckedFile, fetch_file
from client.market import FileInfo
from client.node import Node
from client.protocol import NodeInfo

_SHOWN: Final = 50
_PAGE: Final = 500


def register(app: typer.Typer) -> None:
    for command in (files, file):
        app.command()(command)


def files(
    text: Annotated[str | None, typer.Argument(help="Words to look for in name, description and tags.")] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="That it must have; more than once for more.")] = None,
    media_type: Annotated[str | None, typer.Option("--media-type", help="Such as text/csv.")] = None,
    validator: Annotated[str | None, typer.Option("--validator", help="Who listed it.")] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="Whose it is.")] = None,
    asset_name: Annotated[str | None, typer.Option("--asset", help=r"What its price is in. \[any]")] = None,
    has_all: Annotated[bool, typer.Option("--all", help="Those that are no longer on the market, too.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="So many at most.")] = _SHOWN,
    node_url: options.NodeUrl = options.DEFAULT_NODE_URL,
    keys_dir: options.KeysDir = None,
    is_json: options.Json = False,
) -> None:
    """Search the files that are for sale, newest first, as the node shows them."""
    with Node(node_url) as node:
        info = node.get_info()
        query = {
            "text": text,
            "tags": tuple(tags or ()),
            "media_type": media_type,
            "validator": None if validator is None else options.parse_recipient(validator, keys_dir),
            "owner": None if owner is None else options.parse_recipient(owner, keys_dir),
            "asset": None if asset_name is None else options.choose_asset(asset_name, info.assets).address,
            "status": "all" if has_all else None,
        }
        found: list[FileInfo] = []
        cursor: str | None = None
        while len(found) < limit:
            page = node.list_files(**query, cursor=cursor, limit=min(_PAGE, limit - len(found)))
            found += page.items[: limit - len(found)]
            cursor = page.cursor
            if cursor is None:
                break
    if is_json:
        output.print_json({"items": [item.form for item in found], "hasMore": cursor is not None})
        return
    rows = []
    for item in found:
        price = output.show_amount(item.price, output.find_asset(item.asset, info.assets))
        shown = [output.show_text(word) for word in (item.name, ", ".join(item.tags))]
        rows.append([shown[0], price, str(item.size), item.status, shown[1], wire.encode_bytes(item.id)])
    if rows:
        output.print_table(["name", "price", "bytes", "status", "tags", "id"], rows, right=["price", "bytes"])
    else:
        output.note("no files")
    if cursor is not None:
        output.note("there are more: --limit N")


def file(
    file_id: FileId,
    node_url: options.NodeUrl = options.DEFAULT_NODE_URL,
    l1_url: options.L1Url = options.DEFAULT_L1_URL,
    settlement: options.Settlement = None,
    is_json: options.Json = False,
) -> None:
    """Show a file, after checking that its validator signed for all of it."""
    wanted = options.parse_hash(file_id, "FILE_ID")
    with Node(node_url) as node:
        info, ledger = options.contact(node, l1_url, settlement)
        checked = fetch_file(node, wanted, ledger)
    if is_json:
        output.print_json(checked.info.form)
    else:
        _show(checked, info)


def _show(checked: CheckedFile, info: NodeInfo) -> None:
    found, listing = checked.info, checked.listing
    asset = output.find_asset(found.asset, info.assets)
    key = "none, the content is not encrypted"
    if found.key_hash is not None:
        key = "from the node, to buyers" if listing.sealed_key else "from the validator, to buyers"
    fields = [
        ("file", wire.encode_bytes(found.id)),
        ("name", output.show_text(found.name)),
        ("status", found.status),
        ("size", f"{found.size} bytes"),
        ("media type", output.show_text(found.media_type)),
        ("tags", output.show_text(", ".join(found.tags))),
        ("description", output.show_text(found.description)),
        ("SHA-256", found.content_hash.hex()),
        ("key", key),
        ("validator", wire.encode_address(found.validator)),
        ("owner", wire.encode_address(found.owner)),
        ("service node", "none" if found.service_node is None else wire.encode_address(found.service_node)),
        ("kept until", output.show_time(found.keep_until)),
        ("price", output.show_amount(found.price, asset)),
    ]
    for role, to, amount in compute_named_shares(found.as_file(), info.parameters.market):
        shown = f"{wire.encode_address(to)}  {output.show_amount(amount, asset)}"
        fields.append((f"  to {role.replace('_', ' ')}", shown))
    for before in found.prices[1:]:
        fields.append(("  before", f"{output.show_amount(before.price, asset)}  since {_show_time(before.timestamp)}"))
    fields.append(("sold", f"{found.sale_count} times, for {output.show_amount(found.sold, asset)}"))
    fields.append(("listed", f"{_show_time(found.listed_at)}, block {found.block}, record {found.index}"))
    fields.append(("listing", wire.encode_bytes(found.listing)))
    output.print_fields([(name, value) for name, value in fields if value])


def _show_time(milliseconds: int) -> str:
    return output.show_time(milliseconds // 1000)
