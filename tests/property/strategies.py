"""What the properties are tried on: every value that a layout can hold."""

from hypothesis import strategies as st

from chain.account import AccountLeaf, NonceWindow
from chain.block import Block, Header, make_deposit
from chain.commitment import AssetCommitment, Commitment
from chain.instruction import Delist, ListFile, Register, RegisterOwner, SignedInstruction, UpdatePrice
from chain.kinds import KIND_CODES
from chain.market import File, Roles
from chain.payment import Output, Payment, SignedPayment
from chain.primitives import MAX_ASSETS, MAX_OUTPUTS, MAX_U32, MAX_U64, MAX_U128, MAX_U256
from chain.registry import AccountEntry, FileEntry

addresses = st.binary(min_size=20, max_size=20)
hashes = st.binary(min_size=32, max_size=32)
signatures = st.binary(min_size=65, max_size=65)
u32s, u64s, u128s, u256s = (st.integers(0, largest) for largest in (MAX_U32, MAX_U64, MAX_U128, MAX_U256))
memos = st.text(st.characters(codec="utf-8"), max_size=64)

payments = st.builds(
    Payment,
    asset=addresses,
    payer=addresses,
    nonce=u64s,
    valid_until=u64s,
    kind=st.sampled_from(list(KIND_CODES)),
    reference=hashes,
    memo=memos,
    outputs=st.lists(st.builds(Output, addresses, u128s), max_size=MAX_OUTPUTS).map(tuple),
)
signed_payments = st.builds(SignedPayment, hashes, payments, signatures)
deposits = st.builds(make_deposit, addresses, u64s, addresses, u128s, u64s, hashes, hashes)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
instructions = st.one_of(
    st.builds(Register, addresses, u64s, u64s, texts),
    st.builds(RegisterOwner, addresses, u64s, u64s, addresses),
    st.builds(
        ListFile,
        account=addresses,
        nonce=u64s,
        valid_until=u64s,
        file=hashes,
        owner=addresses,
        asset=addresses,
        price=u128s,
        size=u64s,
        storage_days=u32s,
        content_hash=hashes,
        name=texts,
        media_type=texts,
        tags=st.lists(texts, max_size=5).map(tuple),
        description=texts,
        key_hash=hashes,
        sealed_key=st.binary(max_size=100),
    ),
    st.builds(UpdatePrice, addresses, u64s, u64s, hashes, u128s),
    st.builds(Delist, addresses, u64s, u64s, hashes),
)
signed_instructions = st.builds(SignedInstruction, hashes, instructions, signatures)
records = st.one_of(signed_payments, deposits, signed_instructions)
headers = st.builds(Header, u64s, hashes, u64s, hashes, u32s)


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    listed = tuple(draw(st.lists(records, max_size=5)))
    header = draw(headers)
    return Block(Header(header.number, header.previous, header.timestamp, header.records_root, len(listed)), listed)


roles = st.builds(Roles, st.integers(0, 15), addresses, st.booleans())
files = st.builds(
    File, hashes, addresses, addresses, addresses, u128s, u64s, u32s, u64s, addresses, hashes, st.booleans()
)
registry_entries = st.one_of(st.builds(AccountEntry, addresses, roles), st.builds(FileEntry, files))

windows = st.builds(NonceWindow, u64s, u256s)
account_leaves = st.builds(
    AccountLeaf, addresses, addresses, u64s, windows, u128s, u128s, u128s, u32s, u32s, hashes, hashes
)
lines = st.builds(AssetCommitment, addresses, hashes, u128s, u64s, u64s, u64s, hashes, u64s, u128s)
commitments = st.builds(
    Commitment, u64s, hashes, u64s, u64s, u64s, hashes, hashes, st.lists(lines, max_size=MAX_ASSETS).map(tuple)
)
sum_nodes = st.tuples(hashes, u128s)
