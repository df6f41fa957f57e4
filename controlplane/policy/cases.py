"""The shape of the cases beside a rule book: an order, what happens before it, and the answer that it must get.

Each file of `policies/cases/` is about one route. Strict like every policy file: no unknown key, no number that isn't
exact, and nothing expected that isn't written.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from controlplane.domain.decisions import DenialCode
from controlplane.policy.fields import Milliseconds, Name, Positive, Quantity, Sentence, Table
from controlplane.policy.problems import file_problems

CASES_FOLDER = "cases"

Times = Annotated[int, Field(ge=1, le=100_000)]
ParentNumber = Annotated[int, Field(ge=1, le=8)]
BuyOrSell = Literal["buy", "sell"]
ScopeText = Annotated[str, Field(pattern=r"^(?:parent|[a-z]+:[A-Za-z0-9._/-]+)$")]
Code = Annotated[str, Field(pattern=rf"^(?:{'|'.join(code.name for code in DenialCode)})$")]


class RouteNames(Table):
    """Who asks, for what, and where; the desk is the first part of the strategy's name."""

    strategy: Name
    model: Name
    instrument: Name
    venue: Name
    counterparty: Name


class MarketState(Table):
    """One instrument as of the beginning: its book, and the volume that was traded on the route's venue."""

    bid: Quantity
    ask: Quantity
    volume: Quantity


class OrderStep(Table):
    """Orders that are asked for before the one that matters.

    `hold` is allowed and fills whole, `work` is acknowledged and stays, `expire` is acknowledged and ends unfilled,
    `cancel` the same by our cancel, `reject` is allowed and rejected by the venue, `ask` may get any answer. Optional:
    `times`, `every_ms` between two, `price_step` by which each stands further from the market than the one before,
    `parent` for another parent order.
    """

    do: Literal["hold", "work", "expire", "cancel", "reject", "ask"]
    side: BuyOrSell
    quantity: Positive
    price: Positive
    times: Times = 1
    every_ms: Annotated[int, Field(ge=0, le=60_000)] = 0
    price_step: Positive | None = None
    parent: ParentNumber = 1


class AmendStep(Table):
    """The order that works last is amended to these terms, and its venue agrees."""

    do: Literal["amend"]
    quantity: Positive
    price: Positive
    times: Times = 1
    every_ms: Annotated[int, Field(ge=0, le=60_000)] = 0


class QuoteStep(Table):
    """A new book of one instrument; by its optional `source` a mark or a last trade, whose `bid` and `ask` are one."""

    do: Literal["quote"]
    source: Literal["book", "mark", "last trade"] = "book"
    instrument: Name
    bid: Quantity
    ask: Quantity


class WaitStep(Table):
    """Time passes, and nobody states the market again."""

    do: Literal["wait"]
    ms: Milliseconds


class AskedOrder(Table):
    """The order that the case is about; an amend is one of the order that works last."""

    kind: Literal["new", "amend"] = "new"
    side: BuyOrSell
    quantity: Positive
    price: Positive
    parent: ParentNumber = 1


class Case(Table):
    """One order and its answer. A denial names every failed check in order, the scope that decided, and what passes.

    Fields
        limit     key of the limit that it shows
        market    by instrument; every one whose price the order depends on
        rates     worth of observed currencies; optional
        steps     what happens before the order; optional
    """

    name: Sentence
    limit: Name
    expect: Literal["allow", "deny"]
    codes: Annotated[tuple[Code, ...], Field(strict=False)] = ()
    scope: ScopeText | None = None
    largest_passing: Quantity | None = None
    order: AskedOrder
    market: dict[Name, MarketState] = Field(min_length=1)
    rates: dict[Name, Positive] = Field(default={})
    steps: Annotated[
        tuple[Annotated[OrderStep | AmendStep | QuoteStep | WaitStep, Field(discriminator="do")], ...],
        Field(strict=False),
    ] = ()

    @model_validator(mode="after")
    def _whole(self) -> "Case":
        told = (bool(self.codes), self.scope is not None, self.largest_passing is not None)
        if self.expect == "deny" and not all(told):
            raise ValueError("a denial with codes, scope and largest_passing")
        if self.expect == "allow" and any(told):
            raise ValueError("an allowed order without codes, scope and largest_passing")
        return self


class CasesFile(Table):
    """Cases of one route. `at` is the moment for which the rule book is compiled and at which each case begins."""

    at: AwareDatetime
    route: RouteNames
    cases: Annotated[tuple[Case, ...], Field(strict=False, min_length=1)]

    @model_validator(mode="after")
    def _different_names(self) -> "CasesFile":
        if len({case.name for case in self.cases}) != len(self.cases):
            raise ValueError("cases with a name of their own each")
        return self


def cases_of(file: str, content: Mapping[str, object]) -> CasesFile | list[str]:
    """Return the cases that a file holds, or a sentence for each place where it doesn't have their shape."""
    try:
        return CasesFile.model_validate(content)
    except ValidationError as error:
        return file_problems(file, content, error)
