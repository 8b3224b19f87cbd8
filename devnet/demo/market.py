"""What the demonstration's accounts do: they register, list files and pay for keeping them, buy, and pay each other.

Nothing is remembered between two acts but what is still planned: who has which role, what is listed and what was bought
is asked of the node each time. So a start on an old data directory goes on with what is there, and a node that was
killed in between is found again as it then is.
"""

import asyncio
import hashlib
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import structlog

from chain.errors import WrongKey
from chain.instruction import Delist, ListFile, Register, RegisterOwner, UpdatePrice
from chain.kinds import EXTEND, PURCHASE, TIP, TRANSFER
from chain.market import VALIDATOR
from chain.payment import Output, Payment
from chain.primitives import ZERO_HASH
from chain.wire import encode_bytes
from devnet.demo.desk import Asset, Desk, Offer
from devnet.demo.goods import compute_new_price, make_goods
from devnet.demo.people import Cast, Person, make_cast
from node.ethereum.endpoint import Endpoint
from node.ethereum.faults import EthereumFault, RpcError

_PAUSE_SECONDS: Final = (1.0, 5.0)
_OPENING_PAUSE_SECONDS: Final = (0.2, 0.6)
"""While the market is being set up: the first purchase is not to be waited for."""

_OPENING_UPLOADS: Final = 5
_TRIES: Final = 6
"""Files that a mart looks at before it buys nothing."""
_PASSING: Final = ("halted", "overloaded", "rate_limited")
"""Refusals after which the same may be tried again."""

_MEMOS: Final = (
    "coffee",
    "thanks!",
    "for the photos",
    "lunch on Friday",
    "great data, well described",
    "rent, second half",
    "merci ☕",
    "calibration of the sensors",
    "field work in spring",
    "",
)
_EXTENSIONS: Final = (7, 14, 30, 90)
"""Days."""
_MOST: Final = 10**22
"""Base units, of 18 decimals: what nobody here would pay in one go."""
_ETHER_DIVISOR: Final = 1_000
"""What costs 1 token costs a thousandth of an ether."""

Step: TypeAlias = Callable[[], Awaitable[None]]
Act: TypeAlias = Callable[[], Awaitable[bool]]
"""Whether there was something to do."""

_log = structlog.get_logger(__name__)


async def play(rpc_url: str, private_keys: tuple[bytes, ...]) -> None:
    """Until cancelled. A node that is away is waited for; what it refuses is logged."""
    endpoint = Endpoint(rpc_url)
    chance = random.Random()
    market = Market(Desk(endpoint), make_cast(private_keys), chance)
    try:
        while True:
            await market.act()
            pause = _OPENING_PAUSE_SECONDS if market.is_opening else _PAUSE_SECONDS
            await asyncio.sleep(chance.uniform(*pause))
    finally:
        await endpoint.close()


class Market:
    def __init__(self, desk: Desk, cast: Cast, chance: random.Random) -> None:
        self._desk = desk
        self._cast = cast
        self._chance = chance
        self._plan: deque[Step] | None = None
        """What opens the market, as far as it is still to be done; None before anybody has looked."""
        self._acts: dict[Act, int] = {
            self._purchase: 30,
            self._tip: 15,
            self._transfer: 14,
            self._upload: 13,
            self._change_price: 8,
            self._extend: 5,
            self._list_own: 2,
            self._delist: 1,
        }
        """With how often each is done, in proportion."""

    @property
    def is_opening(self) -> bool:
        return self._plan is None or bool(self._plan)

    async def act(self) -> None:
        """The next step of the plan, or something by chance. What is refused or not answered is logged."""
        try:
            if self._plan is None:
                self._plan = deque(await self._make_plan())
            if self._plan:
                await self._follow(self._plan)
            else:
                await self._improvise()
        except RpcError as refusal:
            _log.warning("the demonstration was refused something", refusal=str(refusal), data=refusal.data)
        except EthereumFault as fault:
            _log.info("the demonstration waits for the node", reason=str(fault))

    # --- opening

    async def _make_plan(self) -> list[Step]:
        """Registrations that are missing, validators first, as owners belong to them; then something to buy."""
        missing = [person for person in self._cast.people if await self._is_unregistered(person)]
        missing.sort(key=lambda person: person.role != VALIDATOR)
        if not missing and await self._find_offers():
            return []
        return [
            *[self._make_registration(person) for person in missing],
            self._open_with_upload,
            self._open_with_purchase,
            *[self._open_with_upload] * _OPENING_UPLOADS,
        ]

    async def _follow(self, plan: deque[Step]) -> None:
        """A step is done with once it is done or refused for good."""
        try:
            await plan[0]()
        except RpcError as refusal:
            if _get_code(refusal) not in _PASSING:
                plan.popleft()
            raise
        plan.popleft()

    async def _is_unregistered(self, person: Person) -> bool:
        if person.role is None or person.is_named_only:
            return False
        return person.role not in (await self._desk.get_standing(person.address)).roles

    def _make_registration(self, person: Person) -> Step:
        async def register() -> None:
            nonce = (await self._desk.get_standing(person.address)).next_nonce
            try:
                if person.validator is not None:
                    await self._desk.instruct(person, RegisterOwner(person.address, nonce, 0, person.validator))
                elif person.role is not None:
                    await self._desk.instruct(person, Register(person.address, nonce, 0, person.role))
            except RpcError as refusal:
                if _get_code(refusal) != "already_registered":
                    raise  # the answer to a first try may have been lost with the node

        return register

    async def _open_with_upload(self) -> None:
        await self._upload()

    async def _open_with_purchase(self) -> None:
        await self._purchase()

    # --- day by day

    async def _improvise(self) -> None:
        """One thing, by chance; if there is nothing to do of that kind, another."""
        remaining = dict(self._acts)
        while remaining:
            (act,) = self._chance.choices(list(remaining), weights=list(remaining.values()))
            if await act():
                return
            del remaining[act]

    async def _purchase(self) -> bool:
        """A mart buys a file that it does not have, and looks whether it got the right key."""
        mart = self._chance.choice(self._cast.marts)
        offers = [offer for offer in await self._find_offers() if offer.sale_count < len(self._cast.marts)]
        for offer in self._chance.sample(offers, min(len(offers), _TRIES)):
            details = {"reference": encode_bytes(offer.file), "price": hex(offer.price)}
            try:
                await self._desk.pay_quoted(mart, PURCHASE, details, offer.price)
            except RpcError as refusal:
                if _get_code(refusal) == "already_purchased":
                    continue
                raise
            if offer.is_key_in_escrow:
                await self._check_key(mart, offer)
            return True
        return False

    async def _check_key(self, mart: Person, offer: Offer) -> None:
        try:
            await self._desk.check_key(mart, offer.file)
        except WrongKey as problem:
            _log.error("a file was paid for and its key is wrong", file=encode_bytes(offer.file), problem=str(problem))

    async def _upload(self) -> bool:
        """A validator lists a file of one of its owners, and pays a service node for keeping it."""
        validator = self._chance.choice(self._cast.validators)
        owners = self._cast.get_owners(validator)
        if not owners or not self._cast.service_nodes:
            return False
        listing = await self._make_listing(validator, self._chance.choice(owners), has_key=self._chance.random() < 0.85)
        await self._desk.upload(validator, listing, self._chance.choice(self._cast.service_nodes).address, _MOST)
        return True

    async def _list_own(self) -> bool:
        """A validator lists a file that it keeps itself, and whose key it hands out itself."""
        validator = self._chance.choice(self._cast.validators)
        owners = [owner for owner in self._cast.get_owners(validator) if not owner.is_named_only]
        if not owners:
            return False
        listing = await self._make_listing(validator, self._chance.choice(owners), has_key=False)
        await self._desk.instruct(validator, listing)
        return True

    async def _change_price(self) -> bool:
        found = await self._choose_offer(lambda offer: True)
        if found is None:
            return False
        validator, offer = found
        price = compute_new_price(offer.price, self._chance)
        nonce = (await self._desk.get_standing(validator.address)).next_nonce
        await self._desk.instruct(validator, UpdatePrice(validator.address, nonce, 0, offer.file, price))
        return True

    async def _extend(self) -> bool:
        found = await self._choose_offer(lambda offer: offer.is_stored)
        if found is None:
            return False
        validator, offer = found
        details = {"reference": encode_bytes(offer.file), "days": self._chance.choice(_EXTENSIONS)}
        await self._desk.pay_quoted(validator, EXTEND, details, _MOST)
        return True

    async def _delist(self) -> bool:
        """Of what has sold, the oldest that is looked at: the market keeps some history, and no end of files."""
        validator = self._chance.choice(self._cast.validators)
        sold = [offer for offer in await self._desk.list_offers(validator.address) if offer.sale_count]
        if len(sold) < 3:
            return False
        nonce = (await self._desk.get_standing(validator.address)).next_nonce
        await self._desk.instruct(validator, Delist(validator.address, nonce, 0, sold[-1].file))
        return True

    async def _tip(self) -> bool:
        payer, payee = self._chance.sample(self._cast.people, 2)
        asset, hundredths = await self._choose_asset(), self._chance.randint(1, 500)
        await self._pay(payer, TIP, asset, [(payee, hundredths)])
        return True

    async def _transfer(self) -> bool:
        """Of some people, the one who has most pays others, so that nobody is ever out of money."""
        people = self._chance.sample(self._cast.people, 4)
        asset = await self._choose_asset()
        balances = [(await self._desk.get_standing(person.address)).balances[asset.address] for person in people]
        payer, *payees = [people[place] for place in sorted(range(4), key=lambda place: -balances[place])]
        count = self._chance.choice((1, 1, 2, 3))
        await self._pay(
            payer, TRANSFER, asset, [(payee, self._chance.randint(100, 9_000)) for payee in payees[-count:]]
        )
        return True

    # --- what several acts need

    async def _pay(self, payer: Person, kind: str, asset: Asset, shares: list[tuple[Person, int]]) -> None:
        """`shares`: whom, and how many hundredths of a token, or of a thousandth of an ether."""
        payment = Payment(
            asset=asset.address,
            payer=payer.address,
            nonce=(await self._desk.get_standing(payer.address)).next_nonce,
            valid_until=0,
            kind=kind,
            reference=ZERO_HASH,
            memo=self._chance.choice(_MEMOS),
            outputs=tuple([Output(payee.address, _compute_amount(asset, hundredths)) for payee, hundredths in shares]),
        )
        await self._desk.pay(payer, payment)

    async def _make_listing(self, validator: Person, owner: Person, *, has_key: bool) -> ListFile:
        goods, asset = make_goods(self._chance), await self._choose_asset()
        file = self._chance.randbytes(32)
        key_hash, sealed_key = await self._desk.seal_new_key(validator.address, file) if has_key else (ZERO_HASH, b"")
        return ListFile(
            account=validator.address,
            nonce=(await self._desk.get_standing(validator.address)).next_nonce,
            valid_until=0,
            file=file,
            owner=owner.address,
            asset=asset.address,
            price=_compute_amount(asset, goods.price),
            size=goods.size,
            storage_days=goods.storage_days,
            content_hash=hashlib.sha256(file).digest(),
            name=goods.name,
            media_type=goods.media_type,
            tags=goods.tags,
            description=goods.description,
            key_hash=key_hash,
            sealed_key=sealed_key,
        )

    async def _find_offers(self) -> list[Offer]:
        """Of those who play: what others list is left to others."""
        return [offer for each in self._cast.validators for offer in await self._desk.list_offers(each.address)]

    async def _choose_offer(self, is_wanted: Callable[[Offer], bool]) -> tuple[Person, Offer] | None:
        validator = self._chance.choice(self._cast.validators)
        offers = [offer for offer in await self._desk.list_offers(validator.address) if is_wanted(offer)]
        return (validator, self._chance.choice(offers)) if offers else None

    async def _choose_asset(self) -> Asset:
        """Mostly a token, if there is one."""
        assets = (await self._desk.get_terms()).assets
        weights = [1 if asset.is_native else 4 for asset in assets]
        return self._chance.choices(assets, weights=weights)[0]


def _compute_amount(asset: Asset, hundredths: int) -> int:
    """Base units."""
    return max(hundredths * asset.hundredth // (_ETHER_DIVISOR if asset.is_native else 1), 2)


def _get_code(refusal: RpcError) -> str | None:
    return refusal.data.get("code") if isinstance(refusal.data, dict) else None
