"""The operator's page: how the node itself is. Behind a token; without one configured there is no such page."""

import msgspec
from fastapi import Request, Response
from starlette.exceptions import HTTPException

from explorer.access import CHALLENGE, is_operator
from explorer.formatting import GWEI
from explorer.site import Site
from explorer.status import EpochStage
from node.ethereum.submission import EpochStatus
from node.operations import OperationsReport


class CommitmentLine(msgspec.Struct, frozen=True):
    status: EpochStatus

    @property
    def stage(self) -> EpochStage:
        return EpochStage(self.status.state.value)

    @property
    def fee_wei(self) -> int:
        """What all its attempts have cost, those of others' submissions not."""
        return self.status.cost

    @property
    def took_ms(self) -> int | None:
        """From its seal to the L1 block that has it, whose time is of whole seconds and by another clock."""
        if self.status.inclusion is None:
            return None
        return max(0, self.status.inclusion.included_at * 1000 - self.status.sealed_at)


class OperatorView(msgspec.Struct, frozen=True):
    report: OperationsReport
    commitments: tuple[CommitmentLine, ...]
    """Newest first."""

    @property
    def budget_used(self) -> str:
        """Of the daily budget, in percent with one decimal, rounded down."""
        funds = self.report.committer.funds
        tenths = 1000 * funds.spent // funds.daily_budget
        return f"{tenths // 10}.{tenths % 10} %"

    @property
    def affordable_gas(self) -> int | None:
        """What the balance pays for at twice the base fee, as the committer offers it; None while either is not
        known."""
        funds = self.report.committer.funds
        if funds.balance is None or not funds.base_fee:
            return None
        return funds.balance // (2 * funds.base_fee)

    @property
    def refused_count(self) -> int:
        return sum([count for _, count in self.report.refusals])


async def show(site: Site, request: Request) -> Response:
    """`/operator`. Raises `HTTPException`: 404 while no token is configured, 401 without the right one."""
    token = site.sources.operator_token
    if token is None:
        raise HTTPException(404)
    if not is_operator(request.headers, token):
        raise HTTPException(401, headers={"www-authenticate": CHALLENGE})
    report = await site.sources.report_operations()
    return await site.show(
        request, "operator.html", view=view_operations(report), reserves=site.sources.get_reserves(), gwei=GWEI
    )


def view_operations(report: OperationsReport) -> OperatorView:
    return OperatorView(report, tuple([CommitmentLine(status) for status in report.committer.last]))
