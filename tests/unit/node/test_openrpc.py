"""The OpenRPC document: it is one, it names every method and nothing else, and its examples are true."""

import json
from typing import Any

import msgspec
import pytest
from jsonschema import ValidationError

import chain.errors
import node.refusals
from chain import wire
from chain.commitment import hash_commitment
from chain.errors import Refusal
from chain.instruction import MEMBERS
from chain.params import Domain
from chain.primitives import MAX_U64
from chain.receipt import check_inclusion, check_instruction_receipt, check_receipt
from chain.registry import check_registry_proof
from chain.signatures import check_signer
from node.payment_status import Commitments
from node.rpc.envelope import get_number
from node.rpc.methods import METHODS
from node.rpc.openrpc import ERRORS, get_document
from node.rpc.quotes import DETAILS
from node.rpc.schemas import SCHEMAS
from node.rpc.subscriptions import SUBSCRIPTION_METHODS
from tests.openrpc import Interface, check_document
from tests.unit.chain import exchange
from tests.unit.node.running import soon

DOCUMENT: Any = json.loads(bytes(get_document()))
INTERFACE = Interface(DOCUMENT)
EXAMPLES = [(name, example) for name, method in INTERFACE.methods.items() for example in method["examples"]]


def get_params(example: Any) -> list[Any]:
    return [each["value"] for each in example["params"]]


def test_it_is_an_openrpc_document() -> None:
    check_document(DOCUMENT)
    for broken in ({**DOCUMENT, "openrpc": "9"}, {**DOCUMENT, "methods": [{"name": "x"}]}, {**DOCUMENT, "extra": 1}):
        with pytest.raises(ValidationError):
            check_document(broken)


def test_every_method_is_in_it_once_and_nothing_else() -> None:
    names = [method["name"] for method in DOCUMENT["methods"]]
    assert sorted(names) == sorted({*METHODS, *SUBSCRIPTION_METHODS, "tally_sendPayment"})


async def test_it_is_what_rpc_discover_answers() -> None:
    nothing: Any = None
    assert await soon(METHODS["rpc.discover"](nothing, b"[]")) == get_document()


def test_every_reference_leads_somewhere() -> None:
    def walk(part: Any) -> None:
        if isinstance(part, dict):
            if "$ref" in part:
                _, components, kind, name = part["$ref"].split("/")
                assert name in DOCUMENT[components][kind]
            for value in part.values():
                walk(value)
        elif isinstance(part, list):
            for value in part:
                walk(value)

    walk(DOCUMENT)


def test_every_refusal_of_the_interface_is_named_with_its_number() -> None:
    classes = [refusal for module in (chain.errors, node.refusals) for refusal in vars(module).values()]
    named_by_others = (Refusal, node.refusals.Worded)
    codes = {
        each.code
        for each in classes
        if isinstance(each, type) and issubclass(each, Refusal) and each not in named_by_others
    }
    assert set(ERRORS) == codes - {"invalid_proof"}  # which only clients meet
    named = {error["$ref"] for method in DOCUMENT["methods"] for error in method["errors"]}
    # A lagging subscription is not an answer to a call.
    assert named == {f"#/components/errors/{code}" for code in ERRORS if code != "subscription_lagged"}
    for code, error in DOCUMENT["components"]["errors"].items():
        assert (error["code"], error["data"]) == (get_number(code), {"code": code})


def test_every_form_is_used() -> None:
    text = json.dumps(DOCUMENT)
    assert [name for name in SCHEMAS if f'"#/components/schemas/{name}"' not in text] == []


# --- examples


def test_there_is_an_example_of_every_method_but_this_one() -> None:
    assert {name for name, _ in EXAMPLES} == set(INTERFACE.methods) - {"rpc.discover"}


@pytest.mark.parametrize("name, example", EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_an_example_fits_the_forms(name: str, example: Any) -> None:
    INTERFACE.check_params(name, get_params(example))
    INTERFACE.check_result(name, example["result"]["value"])


def test_the_examples_are_true() -> None:
    """The receipts verify, also to the commitment, and what was sent is what is receipted."""
    values = {name: example["result"]["value"] for name, example in reversed(EXAMPLES)}  # the first of each method's
    info = values["tally_getInfo"]
    contract = wire.decode_address(info["settlement"], "settlement")
    domain = Domain(wire.decode_quantity(info["ledgerChainId"], "ledgerChainId", MAX_U64), contract)
    operator = wire.decode_address(info["operator"], "operator")
    proven = values["tally_getPaymentProof"]["receipt"]
    for form in (values["tally_sendPayment"], values["tally_getReceipt"], proven):
        receipt = wire.decode_receipt(form)
        check_receipt(receipt, domain, operator)
        if receipt.inclusion is not None:
            check_inclusion(receipt.header, receipt.inclusion, domain)
    assert values["tally_getReceipt"]["commitment"] and proven["commitment"]
    sent = get_params(INTERFACE.methods["tally_sendPayment"]["examples"][0])
    assert sent == [values["tally_sendPayment"]["payment"], values["tally_sendPayment"]["signature"]]

    listing, paid = values["tally_sendUpload"]
    assert (listing["block"], listing["index"], paid["index"]) == (paid["block"], "0x0", "0x1")
    check_receipt(wire.decode_receipt(paid), domain, operator)
    committed = INTERFACE.methods["tally_getReceipt"]["examples"][1]["result"]["value"]
    for form in (listing, committed, values["tally_sendInstruction"]):
        instructed = wire.decode_instruction_receipt(form)
        check_instruction_receipt(instructed, domain, operator)
        if instructed.inclusion is not None:
            check_inclusion(instructed.header, instructed.inclusion, domain)
    assert committed["id"] == listing["id"] and committed["commitment"]
    for form in (values["tally_getFileProof"], values["tally_getRolesProof"]):
        commitment = wire.decode_commitment(form["commitment"]["message"])
        signature = wire.decode_signature(form["commitment"]["signature"], "signature")
        check_signer(hash_commitment(commitment, domain), signature, operator)
        check_registry_proof(wire.decode_registry_proof(form), commitment.extra_root)


# --- the forms refuse what is none


@pytest.mark.parametrize(
    "form, values",
    [
        ("Quantity", ["0x", "0x01", "1", 1, "0xA", None]),
        ("AnyQuantity", ["", "0x", "-1", -1, 2**53, 1.5, "1e3"]),
        ("Address", ["0x12", "0x" + "g" * 40, "12" * 20]),
        ("Hash", ["0x" + "AA" * 32, "0x" + "11" * 31]),
        ("PaymentsFilter", [{"sort": "asc"}, {"account": 1}, []]),
        ("SubscriptionFilter", [{"from": 1}, {"fromBlock": "latest"}]),
        ("Receipt", [{}, {"id": "0x" + "11" * 32}]),
        ("AnyInstruction", [{}, {"type": "Register"}, {"type": "Transfer"}]),
        ("FilesFilter", [{"sort": "price"}, {"status": "delisted"}, {"tag": [1]}, {"limit": []}]),
        ("RegistrationsFilter", [{"role": "king"}, {"account": "0x" + "11" * 20}]),
        ("InstructionsFilter", [{"type": "Register"}]),
        ("QuoteDetails", [{}, {"from": "0x" + "11" * 20}, {"reference": "0x" + "22" * 32}]),
    ],
)
def test_a_form_is_strict(form: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ValidationError):
            INTERFACE.check_form(form, value)


class Listing:
    """Stands for the archive and the catalogue: lets itself be asked for anything."""

    def __init__(self) -> None:
        self.archive = self.catalogue = self
        self.commitments = Commitments(2, 1)

    async def list_anything(self, *arguments: Any) -> None:
        """Nothing."""

    list_commitments = list_payments = list_files = list_registrations = list_instructions = list_anything


VALUES = {"AnyAddress": "0x" + "11" * 20, "AnyHash": "0x" + "22" * 32, "AnyQuantity": 7, "Cursor": "c"}


def make_value(form: Any) -> Any:
    """One that fits."""
    if "oneOf" in form:
        return make_value(form["oneOf"][0])
    if "enum" in form:
        return form["enum"][0]
    return VALUES[form["$ref"].rpartition("/")[2]] if "$ref" in form else "text"


@pytest.mark.parametrize(
    "method, name",
    [
        ("tally_listPayments", "PaymentsFilter"),
        ("tally_listCommitments", "CommitmentsFilter"),
        ("tally_listFiles", "FilesFilter"),
        ("tally_listRegistrations", "RegistrationsFilter"),
        ("tally_listInstructions", "InstructionsFilter"),
    ],
)
async def test_the_filter_of_lists_has_the_members_that_the_node_takes(method: str, name: str) -> None:
    listing: Any = Listing()
    members = DOCUMENT["components"]["schemas"][name]["properties"]
    given = {member: make_value(form) for member, form in members.items()}
    for member, value in given.items():
        needed = {"account": VALUES["AnyAddress"]} if member in ("direction", "counterparty") else {}
        await soon(METHODS[method](listing, msgspec.json.encode([needed | {member: value}])))
    with pytest.raises(Refusal) as refused:
        await soon(METHODS[method](listing, b'[{"sort":"asc"}]'))
    assert str(refused.value).rpartition(": ")[2].split() == sorted(given)


def test_the_details_of_quotes_are_those_that_the_node_takes() -> None:
    described = [set(form["properties"]) for form in DOCUMENT["components"]["schemas"]["QuoteDetails"]["anyOf"]]
    taken = [keys for kind, keys in DETAILS.items() if kind not in ("tip", "withdraw")]
    assert described == taken and DETAILS["tip"] == DETAILS["withdraw"] == DETAILS["transfer"]


@pytest.mark.parametrize("name", MEMBERS)
def test_every_instruction_has_its_form(name: str) -> None:
    form = wire.encode_instruction(exchange.make_instruction(name))
    for schema in ("Instruction", "AnyInstruction"):
        INTERFACE.check_form(schema, form)
        for member in form:
            with pytest.raises(ValidationError):
                INTERFACE.check_form(schema, {**form, member: None})
            with pytest.raises(ValidationError):
                INTERFACE.check_form(schema, {key: value for key, value in form.items() if key != member})
