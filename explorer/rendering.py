"""Templates to pages. Every value is escaped, and a name that a template expects and does not get is an error."""

from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from chain.errors import MalformedRequest
from chain.wire import decode_address, encode_address, encode_bytes
from explorer import formatting
from explorer.alarms import list_alarms
from explorer.sentences import NAMES_OF_ROLES
from explorer.static_files import load_static_files

_NAMES_OF_KINDS: Final = {
    "transfer": "Transfer",
    "upload": "Upload",
    "purchase": "Purchase",
    "extend": "Extension",
    "tip": "Tip",
    "withdraw": "Withdrawal",
}
_NAMES_OF_TYPES: Final = {
    "Register": "Registration",
    "RegisterOwner": "Registration",
    "ListFile": "Listing",
    "UpdatePrice": "Price change",
    "Delist": "Delisting",
}


@cache
def load_pages() -> "Pages":
    """Templates take most of a second to compile: once a process is enough."""
    return Pages()


class Pages:
    """Belongs to any thread: templates do not change once they are loaded."""

    def __init__(self) -> None:
        self.static = load_static_files()
        self._environment = Environment(
            loader=PackageLoader("explorer"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(
            address=encode_address,
            hex=encode_bytes,
            amount=formatting.format_amount,
            change=formatting.format_change,
            count=formatting.format_count,
            duration=formatting.format_duration,
            size=formatting.format_size,
            percent=formatting.format_percent,
            brief=formatting.shorten_name,
            visible=formatting.make_visible,
            time=formatting.format_time,
            machine_time=formatting.format_machine_time,
            age=formatting.format_age,
            day=formatting.format_day,
            kind=_name_kind,
            type=_name_type,
            role=_name_role,
            quantity=_read_quantity,
            bytes=_read_bytes,
            checksum=_checksum,
            alarms=list_alarms,
        )
        self._environment.globals["static"] = {name: file.path for name, file in self.static.items()}
        # Read now, so that a template with a mistake stops the start and not the first reader.
        self._templates = {name: self._environment.get_template(name) for name in self._environment.list_templates()}

    def render(self, template: str, **values: Any) -> bytes:
        return self._templates[template].render(**values).encode()


def _read_quantity(text: str) -> int:
    """Of a JSON form of ours: quantities are hexadecimal there."""
    return int(text, 16)


def _read_bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _checksum(text: str) -> str:
    """An address as we write it, so that it is found among ours; any other text as it is."""
    try:
        return encode_address(decode_address(text, "address"))
    except MalformedRequest:
        return text


def _name_kind(kind: str) -> str:
    return _NAMES_OF_KINDS.get(kind, kind)


def _name_type(instruction_type: str) -> str:
    return _NAMES_OF_TYPES[instruction_type]


def _name_role(role: str) -> str:
    return NAMES_OF_ROLES[role]
