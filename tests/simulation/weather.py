"""What an hour brings, drawn from the seed: which dangers, and how bad each is."""

import random
from enum import StrEnum

import msgspec


class Danger(StrEnum):
    LOST = "lost requests and answers"
    SLOW = "slow answers"
    ERRORS = "errors and rate limits"
    MALFORMED = "answers of the wrong form"
    DUPLICATES = "requests that arrive twice"
    DEAD = "an endpoint that does not answer"
    LAG = "an endpoint that is behind"
    FLAPPING = "reads that disagree"
    FROZEN = "an endpoint that stands still"
    WRONG_CHAIN = "an endpoint of another chain"
    LYING = "an endpoint that lies"
    NOT_GOSSIPED = "transactions accepted, and kept"
    RECEIPTS = "receipts that vanish"
    ESTIMATES = "estimates that are too low"
    REORGANISATION = "a reorganisation"
    PAUSE = "no blocks"
    FINALITY = "no finality"
    SPIKE = "a fee spike"
    FULL = "blocks nearly full"
    FORGETFUL = "a pool that forgets"
    TIP_FLOOR = "a floor of tips"
    FOREIGN_MINED = "somebody else uses our nonce"
    FOREIGN_STUCK = "somebody else's transaction waits on our nonce"
    GAP = "somebody else's transaction waits behind a gap"
    STRANGER = "a stranger submits"
    FUNDS = "no money"
    REVERTING = "the contract refuses"
    CLOCK = "our clock jumps"
    CRASH = "our node dies"
    CRASHES = "our node dies again and again"
    DOWNTIME = "our node is off for long"
    FILE_LOST = "our file is gone"


FREQUENCY = {
    Danger.LOST: 12,
    Danger.SLOW: 8,
    Danger.ERRORS: 10,
    Danger.MALFORMED: 8,
    Danger.DUPLICATES: 6,
    Danger.DEAD: 6,
    Danger.LAG: 10,
    Danger.FLAPPING: 8,
    Danger.FROZEN: 4,
    Danger.WRONG_CHAIN: 3,
    Danger.LYING: 10,
    Danger.NOT_GOSSIPED: 6,
    Danger.RECEIPTS: 6,
    Danger.ESTIMATES: 4,
    Danger.REORGANISATION: 20,
    Danger.PAUSE: 6,
    Danger.FINALITY: 5,
    Danger.SPIKE: 8,
    Danger.FULL: 8,
    Danger.FORGETFUL: 8,
    Danger.TIP_FLOOR: 5,
    Danger.FOREIGN_MINED: 6,
    Danger.FOREIGN_STUCK: 5,
    Danger.GAP: 4,
    Danger.STRANGER: 8,
    Danger.FUNDS: 4,
    Danger.REVERTING: 3,
    Danger.CLOCK: 5,
    Danger.CRASH: 18,
    Danger.CRASHES: 4,
    Danger.DOWNTIME: 1,
    Danger.FILE_LOST: 1,
}
"""Of 100 hours, how many have it, where the climate is rough. Half of the time it is mild."""


class Hour(msgspec.Struct, frozen=True):
    dangers: dict[Danger, float]
    """How bad each is, from 0 to 1."""

    def get(self, danger: Danger) -> float | None:
        return self.dangers.get(danger)


CALM = Hour({})


def draw_hour(chance: random.Random, is_rough: bool) -> Hour:
    scale = 1.0 if is_rough else 0.25
    return Hour(
        {
            danger: chance.random() ** 2
            for danger, frequency in FREQUENCY.items()
            if chance.random() * 100 < frequency * scale
        }
    )
