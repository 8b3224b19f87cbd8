"""A second implementation of the ledger's bytes, as naive as possible: whole lists, recursion, dictionaries.

It shares no code with `chain`; EIP-712 is eth-account's, keccak is eth-utils'. The vectors are made with it, and the
property tests hold `chain` against it. Amounts are ints, hashes and addresses bytes, messages dictionaries in the JSON
names of the interface. It builds; it hardly refuses.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.Protocol.KDF import HKDF
from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_keys.backends.native.jacobian import fast_multiply
from eth_keys.constants import SECPK1_G
from eth_utils import keccak

ZERO = bytes(32)
EMPTY = (ZERO, 0)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

SumNode = tuple[bytes, int]

TYPES: dict[str, dict[str, list[dict[str, str]]]] = {
    "Payment": {
        "Payment": [
            {"name": "asset", "type": "address"},
            {"name": "from", "type": "address"},
            {"name": "nonce", "type": "uint64"},
            {"name": "validUntil", "type": "uint64"},
            {"name": "kind", "type": "string"},
            {"name": "reference", "type": "bytes32"},
            {"name": "memo", "type": "string"},
            {"name": "outputs", "type": "Output[]"},
        ],
        "Output": [{"name": "to", "type": "address"}, {"name": "amount", "type": "uint128"}],
    },
    "Block": {
        "Block": [
            {"name": "number", "type": "uint64"},
            {"name": "previous", "type": "bytes32"},
            {"name": "timestamp", "type": "uint64"},
            {"name": "recordsRoot", "type": "bytes32"},
            {"name": "recordCount", "type": "uint32"},
        ],
    },
    "Commitment": {
        "Commitment": [
            {"name": "epoch", "type": "uint64"},
            {"name": "previous", "type": "bytes32"},
            {"name": "firstBlock", "type": "uint64"},
            {"name": "lastBlock", "type": "uint64"},
            {"name": "cutAt", "type": "uint64"},
            {"name": "blocksRoot", "type": "bytes32"},
            {"name": "extraRoot", "type": "bytes32"},
            {"name": "assets", "type": "AssetCommitment[]"},
        ],
        "AssetCommitment": [
            {"name": "asset", "type": "address"},
            {"name": "stateRoot", "type": "bytes32"},
            {"name": "total", "type": "uint128"},
            {"name": "accountCount", "type": "uint64"},
            {"name": "depositCount", "type": "uint64"},
            {"name": "forcedCount", "type": "uint64"},
            {"name": "withdrawalsRoot", "type": "bytes32"},
            {"name": "withdrawalCount", "type": "uint64"},
            {"name": "withdrawn", "type": "uint128"},
        ],
    },
}

INSTRUCTIONS: dict[str, str] = {
    "Register": "string role",
    "RegisterOwner": "address validator",
    "ListFile": (
        "bytes32 file,address owner,address asset,uint128 price,uint64 size,uint32 storageDays,bytes32 contentHash,"
        "string name,string mediaType,string[] tags,string description,bytes32 keyHash,bytes sealedKey"
    ),
    "UpdatePrice": "bytes32 file,uint128 price",
    "Delist": "bytes32 file",
}
"""Type → what follows account, nonce and validUntil, in the order of the types' numbers in the journal."""

for _type, _members in INSTRUCTIONS.items():
    _pairs = [member.split() for member in f"address account,uint64 nonce,uint64 validUntil,{_members}".split(",")]
    TYPES[_type] = {_type: [{"name": name, "type": kind} for kind, name in _pairs]}


def pack(*fields: tuple[int, int] | bytes) -> bytes:
    """(value, bytes) pairs and raw bytes, one after another."""
    return b"".join(field if isinstance(field, bytes) else field[0].to_bytes(field[1], "big") for field in fields)


# --- EIP-712


def ledger_chain_id(l1_chain_id: int, settlement: bytes) -> int:
    return 2**40 + int.from_bytes(keccak(pack((l1_chain_id, 32), settlement))[:5], "big")


def make_domain(chain_id: int, settlement: bytes) -> dict[str, Any]:
    return {"name": "Tallystick", "version": "1", "chainId": chain_id, "verifyingContract": "0x" + settlement.hex()}


def encode_message(primary_type: str, message: dict[str, Any], domain: dict[str, Any]) -> SignableMessage:
    return encode_typed_data(domain_data=domain, message_types=TYPES[primary_type], message_data=message)


def domain_separator(domain: dict[str, Any]) -> bytes:
    anything = {"number": 0, "previous": ZERO, "timestamp": 0, "recordsRoot": ZERO, "recordCount": 0}
    return bytes(encode_message("Block", anything, domain).header)


def struct_hash(primary_type: str, message: dict[str, Any], domain: dict[str, Any]) -> bytes:
    return bytes(encode_message(primary_type, message, domain).body)


def digest(primary_type: str, message: dict[str, Any], domain: dict[str, Any]) -> bytes:
    signable = encode_message(primary_type, message, domain)
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


def sign(primary_type: str, message: dict[str, Any], domain: dict[str, Any], key: bytes) -> bytes:
    return bytes(Account.sign_message(encode_message(primary_type, message, domain), key).signature)


def address_of(key: bytes) -> bytes:
    return bytes.fromhex(Account.from_key(key).address[2:])


# --- list trees


def list_root(items: Sequence[bytes]) -> bytes:
    return list_node([keccak(b"\x80" + item) for item in items], list_width(len(items))) if items else ZERO


def list_node(hashes: Sequence[bytes], width: int) -> bytes:
    """The node over `width` leaves, of which the first len(hashes) are there."""
    if width == 1:
        return hashes[0] if hashes else ZERO
    half = width // 2
    return keccak(b"\x81" + list_node(hashes[:half], half) + list_node(hashes[half:], half))


def list_proof(items: Sequence[bytes], index: int) -> list[bytes]:
    return _list_path([keccak(b"\x80" + item) for item in items], index, list_width(len(items)))


def _list_path(hashes: Sequence[bytes], index: int, width: int) -> list[bytes]:
    if width == 1:
        return []
    half = width // 2
    if index < half:
        return [*_list_path(hashes[:half], index, half), list_node(hashes[half:], half)]
    return [*_list_path(hashes[half:], index - half, half), list_node(hashes[:half], half)]


def list_width(count: int) -> int:
    """The smallest power of two that is not below `count`."""
    width = 1
    while width < count:
        width *= 2
    return width


# --- sum trees


def sum_root(leaves: Sequence[SumNode]) -> SumNode:
    return sum_node(leaves, list_width(len(leaves)))


def sum_node(leaves: Sequence[SumNode], width: int) -> SumNode:
    """The node over `width` leaves, of which the first len(leaves) are there."""
    if not leaves:
        return EMPTY
    if width == 1:
        return leaves[0]
    half = width // 2
    left, right = sum_node(leaves[:half], half), sum_node(leaves[half:], half)
    return keccak(pack(b"\x83", left[0], (left[1], 16), right[0], (right[1], 16))), left[1] + right[1]


def sum_proof(leaves: Sequence[SumNode], index: int) -> list[SumNode]:
    return _sum_path(leaves, index, list_width(len(leaves)))


def _sum_path(leaves: Sequence[SumNode], index: int, width: int) -> list[SumNode]:
    if width == 1:
        return []
    half = width // 2
    if index < half:
        return [*_sum_path(leaves[:half], index, half), sum_node(leaves[half:], half)]
    return [*_sum_path(leaves[half:], index - half, half), sum_node(leaves[:half], half)]


# --- leaves and ids


def debit_preimage(debit: dict[str, Any]) -> bytes:
    return pack(b"\x84", (debit["type"], 1), (debit["number"], 8), debit["id"], (debit["amount"], 16))


def credit_preimage(credit: dict[str, Any]) -> bytes:
    place = pack((credit["block"], 8), (credit["record"], 4), (credit["output"], 1))
    return pack(b"\x85", place, (credit["type"], 1), credit["id"], (credit["amount"], 16))


def withdrawal_preimage(withdrawal: dict[str, Any]) -> bytes:
    return pack(b"\x86", withdrawal["id"], withdrawal["recipient"], (withdrawal["amount"], 16))


def account_leaf_bytes(leaf: dict[str, Any]) -> bytes:
    return pack(
        leaf["asset"],
        leaf["owner"],
        (leaf["epoch"], 8),
        (leaf["nonceBase"], 8),
        (leaf["nonceMap"], 32),
        (leaf["opening"], 16),
        (leaf["debits"], 16),
        (leaf["credits"], 16),
        (leaf["debitCount"], 4),
        (leaf["creditCount"], 4),
        leaf["debitsRoot"],
        leaf["creditsRoot"],
    )


def closing(leaf: dict[str, Any]) -> int:
    return int(leaf["opening"] + leaf["credits"] - leaf["debits"])


def is_sound(leaf: dict[str, Any]) -> bool:
    sides = [
        (leaf["debitCount"], leaf["debits"], leaf["debitsRoot"]),
        (leaf["creditCount"], leaf["credits"], leaf["creditsRoot"]),
    ]
    return (
        leaf["nonceMap"] % 2 == 0
        and 0 <= closing(leaf) < 2**128
        and all((total, root) == (0, ZERO) for count, total, root in sides if count == 0)
    )


def used_nonces(leaf: dict[str, Any]) -> tuple[int, set[int]]:
    """(base, used ones at or above it)"""
    return leaf["nonceBase"], {leaf["nonceBase"] + bit for bit in range(256) if leaf["nonceMap"] >> bit & 1}


def does_continue(later: dict[str, Any], later_epoch: int, earlier: dict[str, Any], earlier_epoch: int) -> bool:
    later_base, later_used = used_nonces(later)
    earlier_base, earlier_used = used_nonces(earlier)
    if (later["asset"], later["owner"]) != (earlier["asset"], earlier["owner"]):
        return False
    unchanged = later["epoch"] <= earlier_epoch and account_leaf_bytes(later) == account_leaf_bytes(earlier)
    next_epoch = later["epoch"] == earlier_epoch + 1 and later["opening"] == closing(earlier)
    between = later["epoch"] > earlier_epoch + 1
    return (
        (unchanged or next_epoch or between)
        and later["epoch"] <= later_epoch
        and later_base >= earlier_base
        and all(nonce < later_base or nonce in later_used for nonce in earlier_used)
    )


def request_id(record_type: int, asset: bytes, index: int) -> bytes:
    return keccak(pack(b"\x89", (record_type, 1), asset, (index, 8)))


def stored_hash(commitment_digest: bytes, included_at: int) -> bytes:
    return keccak(pack(commitment_digest, (included_at, 8)))


MARKET: dict[str, Any] = {"validatorShare": 5000, "ownerShare": 5000, "commission": 0, "storageRates": {}}
"""What the data exchange pays to whom, unless it is said otherwise: nobody keeps files, and halves are split."""


def parameters_json(
    l1_chain_id: int, settlement: bytes, native_asset: bytes, deployed_at: int, market: dict[str, Any] = MARKET
) -> str:
    rates = {"0x" + asset.hex(): str(rate) for asset, rate in market["storageRates"].items()}
    parameters = {
        "l1ChainId": str(l1_chain_id),
        "settlement": "0x" + settlement.hex(),
        "nativeAsset": "0x" + native_asset.hex(),
        "deployedAt": str(deployed_at),
        "protocol": "1",
        "validatorShare": str(market["validatorShare"]),
        "ownerShare": str(market["ownerShare"]),
        "commission": str(market["commission"]),
        "storageRates": dict(sorted(rates.items())),
    }
    return json.dumps(dict(sorted(parameters.items())), separators=(",", ":"))


def genesis_hash(chain_id: int, canonical_json: str) -> bytes:
    return keccak(pack(b"\x8a", (chain_id, 8), keccak(text=canonical_json)))


# --- sealed keys: HKDF and the AES of one block are the library's; curve and GCM are spelt out


def sealed_key(key: bytes, recipient_secret: bytes, context: bytes, ephemeral_secret: bytes) -> bytes:
    ephemeral, recipient = compress(multiply(SECPK1_G, ephemeral_secret)), multiply(SECPK1_G, recipient_secret)
    shared = hashlib.sha256(compress(multiply(recipient, ephemeral_secret))).digest()
    info = b"Tallystick sealed key 1" + context
    derived = bytes(HKDF(shared, 44, ephemeral + compress(recipient), SHA256, context=info))
    return ephemeral + gcm(derived[:32], derived[32:], key, context)


def multiply(point: tuple[int, int], secret: bytes) -> tuple[int, int]:
    return fast_multiply(point, int.from_bytes(secret, "big"))


def compress(point: tuple[int, int]) -> bytes:
    return pack((2 + point[1] % 2, 1), (point[0], 32))


def gcm(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """Ciphertext ‖ tag: NIST SP 800-38D, section 7.1, with a nonce of 12 bytes."""
    encrypt = AES.new(key, AES.MODE_ECB).encrypt
    stream = b"".join(encrypt(nonce + pack((2 + number, 4))) for number in range(-(-len(plaintext) // 16)))
    ciphertext = bytes(left ^ right for left, right in zip(plaintext, stream, strict=False))
    sizes = pack((8 * len(associated), 8), (8 * len(ciphertext), 8))
    hashed = ghash(encrypt(bytes(16)), pad(associated) + pad(ciphertext) + sizes)
    return ciphertext + bytes(left ^ right for left, right in zip(hashed, encrypt(nonce + pack((1, 4))), strict=True))


def ghash(hash_key: bytes, data: bytes) -> bytes:
    """SP 800-38D, sections 6.3 and 6.4: bit 0 of a block is its first, x^0."""
    total, factor = 0, int.from_bytes(hash_key, "big")
    for start in range(0, len(data), 16):
        total ^= int.from_bytes(data[start : start + 16], "big")
        product, power = 0, factor
        for bit in range(128):
            if total >> (127 - bit) & 1:
                product ^= power
            power = power >> 1 ^ (0xE1 << 120 if power & 1 else 0)
        total = product
    return total.to_bytes(16, "big")


def pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 16)


# --- nonces


def use_nonce(base: int, used: set[int], nonce: int) -> tuple[int, set[int]]:
    """The window after `nonce`, which must be free and within it; `used` are the used ones at or above the base."""
    used = used | {nonce}
    while base in used:
        used.remove(base)
        base += 1
    return base, used


def pack_window(base: int, used: set[int]) -> int:
    """The nonce map."""
    return sum(1 << nonce - base for nonce in used)


# --- the journal's form of a block

KIND_CODES = {"transfer": 1, "upload": 2, "purchase": 3, "extend": 4, "tip": 5, "withdraw": 6}


def deposit_bytes(deposit: dict[str, Any]) -> bytes:
    where = pack((deposit["l1Block"], 8), deposit["l1BlockHash"], deposit["l1Transaction"])
    queued = pack(deposit["asset"], (deposit["index"], 8), deposit["account"], (deposit["amount"], 16))
    return request_id(2, deposit["asset"], deposit["index"]) + queued + where


def payment_bytes(payment: dict[str, Any], payment_id: bytes, signature: bytes) -> bytes:
    memo = payment["memo"].encode()
    numbers = pack((payment["nonce"], 8), (payment["validUntil"], 8), (KIND_CODES[payment["kind"]], 1))
    sizes = pack((len(payment["outputs"]), 1), (len(memo), 2))
    outputs = b"".join(pack(output["to"], (output["amount"], 16)) for output in payment["outputs"])
    fixed = pack(b"\x01", payment["asset"], payment["from"], numbers, payment["reference"], sizes)
    return payment_id + signature + fixed + outputs + memo


def instruction_bytes(name: str, instruction: dict[str, Any], instruction_id: bytes, signature: bytes) -> bytes:
    """Fixed widths as they are; text, bytes and lists of text after their size or count u16."""

    def member_bytes(kind: str, value: Any) -> bytes:
        if kind == "string[]":
            return pack((len(value), 2), *[member_bytes("string", text) for text in value])
        if kind in ("string", "bytes"):
            data = value.encode() if kind == "string" else value
            return pack((len(data), 2), data)
        return pack((value, int(kind.removeprefix("uint")) // 8)) if kind.startswith("uint") else bytes(value)

    members = [member_bytes(member["type"], instruction[member["name"]]) for member in TYPES[name][name]]
    return instruction_id + signature + bytes([1 + list(INSTRUCTIONS).index(name)]) + b"".join(members)


def record_bytes(record_type: int, body: bytes) -> bytes:
    return pack((record_type, 1), (len(body), 2), body)


def block_bytes(header: dict[str, Any], records: Sequence[bytes]) -> bytes:
    fields = (header["number"], 8), header["previous"], (header["timestamp"], 8), header["recordsRoot"]
    return pack(*fields, (header["recordCount"], 4), *records)


# --- the data exchange

GIB = 2**30
DAY_S = 86_400
NOBODY = bytes(20)
ROLES = ("validator", "mart", "service_node", "owner")
"""By the bit that each has in a registry entry, from the lowest."""


def compute_daily_charge(size: int, rate: int) -> int:
    return math.ceil(Fraction(size, GIB) * rate)


def compute_shares(
    price: int, market: dict[str, Any], validator: bytes, owner: bytes, service_node: bytes | None
) -> list[dict[str, Any]]:
    """The outputs of a purchase. Whatever is rounded off, and the commission of nobody, is the owner's."""
    parts = {"validator": math.floor(price * Fraction(market["validatorShare"], 10_000)), "owner": 0, "node": 0}
    if service_node is not None:
        parts["node"] = math.floor(price * Fraction(market["commission"], 10_000))
    parts["owner"] = price - sum(parts.values())
    payees = {"validator": validator, "owner": owner, "node": service_node}
    return [{"to": payees[part], "amount": amount} for part, amount in parts.items() if amount > 0]


def account_entry_bytes(entry: dict[str, Any]) -> bytes:
    """`{account, roles, validator or None, namedOnly}`"""
    bits = sum(1 << place for place, role in enumerate(ROLES) if role in entry["roles"])
    return pack(b"\x01", entry["account"], (bits, 1), entry["validator"] or NOBODY, (int(entry["namedOnly"]), 1))


def file_entry_bytes(entry: dict[str, Any]) -> bytes:
    """`{file, validator, owner, asset, price, size, storageDays, keepUntil, serviceNode or None, listing, delisted}`"""
    return pack(
        b"\x02",
        entry["file"],
        entry["validator"],
        entry["owner"],
        entry["asset"],
        (entry["price"], 16),
        (entry["size"], 8),
        (entry["storageDays"], 4),
        (entry["keepUntil"], 8),
        entry["serviceNode"] or NOBODY,
        entry["listing"],
        (int(entry["delisted"]), 1),
    )


def entry_bytes(entry: dict[str, Any]) -> bytes:
    return account_entry_bytes(entry) if "account" in entry else file_entry_bytes(entry)


def extra_root(items: Sequence[bytes]) -> bytes:
    """Of the encoded entries of the registry."""
    return keccak(pack(b"\x8b", (len(items), 8), list_root(items))) if items else ZERO


class NaiveExchange:
    """Who takes part and what is listed: every entry in the order in which it came to be, as the interface shows it."""

    def __init__(self, market: dict[str, Any]) -> None:
        self.market = market
        self.entries: list[dict[str, Any]] = []
        self.sales: set[tuple[bytes, bytes]] = set()
        """(file, buyer)"""

    def find_account(self, account: bytes) -> dict[str, Any]:
        """With no roles, if it has no entry."""
        found = [entry for entry in self.entries if entry.get("account") == account]
        return found[0] if found else {"account": account, "roles": [], "validator": None, "namedOnly": False}

    def find_file(self, file: bytes) -> dict[str, Any] | None:
        found = [entry for entry in self.entries if entry.get("file") == file]
        return found[0] if found else None

    def has_role(self, account: bytes, role: str) -> bool:
        return role in self.find_account(account)["roles"]

    def extra_root(self) -> bytes:
        return extra_root([entry_bytes(entry) for entry in self.entries])

    def _put_account(self, account: bytes, role: str, **fields: Any) -> None:
        entry = self.find_account(account)
        if entry not in self.entries:
            self.entries.append(entry)
        entry["roles"] = [name for name in ROLES if name in (*entry["roles"], role)]
        entry.update(fields)

    # --- what happens

    def instruct(self, name: str, instruction: dict[str, Any], instruction_id: bytes, timestamp: int) -> None:
        """`timestamp` of the block, in ms."""
        account = instruction["account"]
        if name == "Register":
            self._put_account(account, instruction["role"])
        elif name == "RegisterOwner":
            self._put_account(account, "owner", validator=instruction["validator"], namedOnly=False)
        elif name == "ListFile":
            if not self.has_role(instruction["owner"], "owner"):
                self._put_account(instruction["owner"], "owner", validator=account, namedOnly=True)
            same = {
                member: instruction[member] for member in ("file", "owner", "asset", "price", "size", "storageDays")
            }
            keep_until = timestamp // 1000 + instruction["storageDays"] * DAY_S
            fields = {"validator": account, "keepUntil": keep_until, "serviceNode": None}
            self.entries.append({**same, **fields, "listing": instruction_id, "delisted": False})
        else:
            file = self.find_file(instruction["file"])
            assert file is not None
            file.update({"price": instruction["price"]} if name == "UpdatePrice" else {"delisted": True})

    def pay(self, payment: dict[str, Any], timestamp: int) -> None:
        file = self.find_file(payment["reference"])
        if payment["kind"] not in ("upload", "purchase", "extend"):
            return
        assert file is not None
        (first, *_) = payment["outputs"]
        if payment["kind"] == "upload":
            file.update(serviceNode=first["to"], keepUntil=timestamp // 1000 + file["storageDays"] * DAY_S)
        elif payment["kind"] == "purchase":
            self.sales.add((file["file"], payment["from"]))
        else:
            days = Fraction(first["amount"], self.daily_charge(file, payment["asset"]))
            assert days.denominator == 1
            file["keepUntil"] += int(days) * DAY_S

    def daily_charge(self, file: dict[str, Any], asset: bytes) -> int:
        return compute_daily_charge(file["size"], self.market["storageRates"][asset])

    # --- what does not

    def name_refusal_of_instruction(
        self, name: str, instruction: dict[str, Any], assets: Sequence[bytes], is_paid: bool = False
    ) -> str | None:
        """Whether roles and listings forbid it, by the name of the refusal."""
        account = instruction["account"]
        if name == "Register":
            return "already_registered" if self.has_role(account, instruction["role"]) else None
        if name == "RegisterOwner":
            if not self.has_role(instruction["validator"], "validator"):
                return "wrong_role"
            own = self.find_account(account)
            is_free = "owner" not in own["roles"] or (own["namedOnly"] and own["validator"] != instruction["validator"])
            return None if is_free else "already_registered"
        file = self.find_file(instruction["file"])
        if name == "ListFile":
            if not self.has_role(account, "validator"):
                return "wrong_role"
            if file is not None:
                return "already_listed"
            if instruction["asset"] not in assets:
                return "unknown_asset"
            owner = self.find_account(instruction["owner"])
            if "owner" in owner["roles"]:
                return None if owner["validator"] == account else "foreign_validator"
            return None if is_paid else "wrong_role"
        if file is None:
            return "unknown_reference"
        if file["validator"] != account:
            return "foreign_validator"
        return "delisted" if file["delisted"] else None

    def name_refusal_of_payment(self, payment: dict[str, Any], timestamp: int) -> str | None:
        """Whether its kind forbids it, by the name of the refusal."""
        kind, outputs, payer = payment["kind"], payment["outputs"], payment["from"]
        if kind in ("transfer", "tip", "withdraw"):
            return None if kind == "transfer" or len(outputs) == 1 else "wrong_outputs"
        file = self.find_file(payment["reference"])
        if file is None:
            return "unknown_reference"
        total = sum(output["amount"] for output in outputs)
        is_kept = timestamp <= file["keepUntil"] * 1000
        if kind == "purchase":
            shares = compute_shares(file["price"], self.market, file["validator"], file["owner"], file["serviceNode"])
            faults = [
                ("wrong_role", not self.has_role(payer, "mart")),
                ("already_purchased", (file["file"], payer) in self.sales),
                ("delisted", file["delisted"]),
                ("file_expired", not is_kept),
                ("wrong_asset", payment["asset"] != file["asset"]),
                ("wrong_price", total != file["price"]),
                ("wrong_service_node", self._differs_by_node_only(outputs, shares, file)),
                ("wrong_outputs", outputs != shares),
            ]
            return next((code for code, is_so in faults if is_so), None)
        rate = self.market["storageRates"].get(payment["asset"], 0)
        daily = compute_daily_charge(file["size"], rate)
        if kind == "upload":
            faults = [
                ("foreign_validator", payer != file["validator"]),
                ("delisted", file["delisted"]),
                ("already_uploaded", file["serviceNode"] is not None),
                ("no_storage_rate", rate == 0),
                ("wrong_outputs", len(outputs) != 1),
                ("wrong_service_node", not self.has_role(outputs[0]["to"], "service_node")),
                ("wrong_outputs", total != file["storageDays"] * daily),
            ]
        else:
            faults = [
                ("foreign_validator", payer != file["validator"]),
                ("not_uploaded", file["serviceNode"] is None),
                ("file_expired", not is_kept),
                ("no_storage_rate", rate == 0),
                ("wrong_outputs", len(outputs) != 1),
                ("wrong_service_node", outputs[0]["to"] != file["serviceNode"]),
                ("wrong_outputs", daily != 0 and total % daily != 0),
                # A hundred years of 365 days ahead of the block, and not a part of a day more.
                ("wrong_outputs", daily != 0 and is_too_far(file["keepUntil"], total // daily, timestamp)),
            ]
        return next((code for code, is_so in faults if is_so), None)

    def _differs_by_node_only(self, outputs: list[dict[str, Any]], shares: list[dict[str, Any]], file: Any) -> bool:
        """Whether there is a commission, and all that is wrong is whom it goes to."""
        node = file["serviceNode"]
        if node is None or math.floor(file["price"] * Fraction(self.market["commission"], 10_000)) == 0:
            return False
        amounts = [output["amount"] for output in outputs] == [share["amount"] for share in shares]
        return amounts and outputs[:-1] == shares[:-1] and outputs[-1]["to"] != node


def is_too_far(keep_until: int, days: int, timestamp: int) -> bool:
    return keep_until * 1000 + days * DAY_S * 1000 > timestamp + 36_500 * DAY_S * 1000


# --- a whole ledger


class NaiveLedger:
    """Keeps every entry of every account for ever, and builds each tree anew, from nothing, at each cut."""

    def __init__(self, domain: dict[str, Any], market: dict[str, Any] = MARKET) -> None:
        self.domain = domain
        self.exchange = NaiveExchange(market)
        self.epoch = 1
        self.assets: list[bytes] = []
        self.nonces: dict[bytes, tuple[int, set[int]]] = {}
        self.order: dict[bytes, list[bytes]] = {}
        """asset → accounts in the order of their first credit, which is the order of their leaves"""
        self.debits: list[dict[str, Any]] = []
        self.credits: list[dict[str, Any]] = []
        self.withdrawals: list[dict[str, Any]] = []
        self.deposits: dict[bytes, int] = {}
        self.block_hashes: list[bytes] = []
        self.first_block = 1
        self.previous = ZERO
        self.leaves: dict[tuple[bytes, bytes], dict[str, Any]] = {}
        """(asset, account) → its leaf as of the last cut in which it changed"""

    def list_asset(self, asset: bytes) -> None:
        self.assets.append(asset)
        self.order[asset] = []
        self.deposits[asset] = 0

    def balance(self, asset: bytes, account: bytes) -> int:
        gained = sum(c["amount"] for c in self.credits if (c["asset"], c["account"]) == (asset, account))
        return int(gained - sum(d["amount"] for d in self.debits if (d["asset"], d["account"]) == (asset, account)))

    def credit(self, asset: bytes, account: bytes, place: tuple[int, int, int], entry: dict[str, Any]) -> None:
        block, record, output = place
        if account not in self.order[asset]:
            self.order[asset].append(account)
        fields = {"asset": asset, "account": account, "epoch": self.epoch}
        self.credits.append({**fields, "block": block, "record": record, "output": output, **entry})

    def deposit(self, asset: bytes, account: bytes, amount: int, block: int, record: int) -> bytes:
        deposit_id = request_id(2, asset, self.deposits[asset])
        self.deposits[asset] += 1
        self.credit(asset, account, (block, record, 0), {"type": 2, "id": deposit_id, "amount": amount})
        return deposit_id

    def instruct(self, name: str, instruction: dict[str, Any], timestamp: int) -> bytes:
        """`instruction` in the names of the signed message, addresses as bytes; `timestamp` of the block, in ms."""
        instruction_id = digest(name, instruction, self.domain)
        account = instruction["account"]
        self.nonces[account] = use_nonce(*self.nonces.get(account, (0, set())), instruction["nonce"])
        self.exchange.instruct(name, instruction, instruction_id, timestamp)
        return instruction_id

    def pay(self, payment: dict[str, Any], block: int, record: int, timestamp: int) -> bytes:
        """`payment` in the names of the signed message, addresses as bytes; `timestamp` of the block, in ms."""
        payment_id = digest("Payment", payment, self.domain)
        asset, payer = payment["asset"], payment["from"]
        total = sum(output["amount"] for output in payment["outputs"])
        self.nonces[payer] = use_nonce(*self.nonces.get(payer, (0, set())), payment["nonce"])
        entry = {"type": 1, "number": payment["nonce"], "id": payment_id, "amount": total}
        self.debits.append({"asset": asset, "account": payer, "epoch": self.epoch, **entry})
        for place, output in enumerate(payment["outputs"]):
            to, amount = output["to"], output["amount"]
            if payment["kind"] == "withdraw":
                fields = {"asset": asset, "epoch": self.epoch, "id": payment_id}
                self.withdrawals.append({**fields, "recipient": to, "amount": amount})
            else:
                self.credit(asset, to, (block, record, place), {"type": 1, "id": payment_id, "amount": amount})
        self.exchange.pay(payment, timestamp)
        return payment_id

    def end_block(self, header: dict[str, Any]) -> bytes:
        self.block_hashes.append(digest("Block", header, self.domain))
        return self.block_hashes[-1]

    def cut(self, cut_at: int) -> dict[str, Any]:
        commitment = {
            "epoch": self.epoch,
            "previous": self.previous,
            "firstBlock": self.first_block,
            "lastBlock": len(self.block_hashes),
            "cutAt": cut_at,
            "blocksRoot": list_root(self.block_hashes[self.first_block - 1 :]),
            "extraRoot": self.exchange.extra_root(),
            "assets": [self._line(asset) for asset in self.assets],
        }
        self.epoch += 1
        self.first_block = len(self.block_hashes) + 1
        self.previous = digest("Commitment", commitment, self.domain)
        return commitment

    def state_leaves(self, asset: bytes) -> list[SumNode]:
        leaves = [self.leaves[asset, account] for account in self.order[asset]]
        return [(keccak(b"\x82" + account_leaf_bytes(leaf)), closing(leaf)) for leaf in leaves]

    def withdrawal_leaves(self, asset: bytes, epoch: int) -> list[SumNode]:
        return [
            (keccak(withdrawal_preimage(withdrawal)), withdrawal["amount"])
            for withdrawal in self.withdrawals
            if (withdrawal["asset"], withdrawal["epoch"]) == (asset, epoch)
        ]

    def _line(self, asset: bytes) -> dict[str, Any]:
        for account in self.order[asset]:
            self._update_leaf(asset, account)
        state, withdrawals = self.state_leaves(asset), self.withdrawal_leaves(asset, self.epoch)
        return {
            "asset": asset,
            "stateRoot": sum_root(state)[0],
            "total": sum_root(state)[1],
            "accountCount": len(state),
            "depositCount": self.deposits[asset],
            "forcedCount": 0,
            "withdrawalsRoot": sum_root(withdrawals)[0],
            "withdrawalCount": len(withdrawals),
            "withdrawn": sum_root(withdrawals)[1],
        }

    def _update_leaf(self, asset: bytes, account: bytes) -> None:
        debits = [d for d in self.debits if (d["asset"], d["account"], d["epoch"]) == (asset, account, self.epoch)]
        credits = [c for c in self.credits if (c["asset"], c["account"], c["epoch"]) == (asset, account, self.epoch)]
        if not debits and not credits:
            return
        debits.sort(key=lambda debit: (debit["type"], debit["number"]))
        credits.sort(key=lambda credit: (credit["block"], credit["record"], credit["output"]))
        debits_root = sum_root([(keccak(debit_preimage(debit)), debit["amount"]) for debit in debits])
        credits_root = sum_root([(keccak(credit_preimage(credit)), credit["amount"]) for credit in credits])
        before = self.leaves.get((asset, account))
        base, used = self.nonces.get(account, (0, set()))
        self.leaves[asset, account] = {
            "asset": asset,
            "owner": account,
            "epoch": self.epoch,
            "nonceBase": base,
            "nonceMap": pack_window(base, used),
            "opening": closing(before) if before else 0,
            "debits": debits_root[1],
            "credits": credits_root[1],
            "debitCount": len(debits),
            "creditCount": len(credits),
            "debitsRoot": debits_root[0],
            "creditsRoot": credits_root[0],
        }
