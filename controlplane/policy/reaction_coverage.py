"""Whether every name that a breaker or a dynamic limit uses leads somewhere; `coverage.py` asks."""

from collections.abc import Collection, Iterator, Mapping

from controlplane.domain.measures import FIRST_OBSERVED
from controlplane.policy.problems import dotted
from controlplane.policy.reactions import MEASURES, is_meant
from controlplane.policy.schema import Policies

# File and key where a name stands, the name, the names there are, and where they stand.
Reference = tuple[str, str, str, Collection[str], str]


def reaction_references(policies: Policies) -> Iterator[Reference]:
    """Yield every name that breakers, thresholds of telemetry and dynamic limits use."""
    file, scopes = "breakers.toml", _scopes(policies)
    tables = ((file, "breakers", policies.breakers), ("telemetry.toml", "thresholds", policies.thresholds))
    for owner, table, breakers in tables:
        for name, breaker in breakers.items():
            key = dotted((table, name))
            yield owner, f"{key}.recovery", breaker.recovery, policies.recoveries, file
            yield owner, f"{key}.scope", breaker.scope, _if_meant(breaker.scope, scopes), "the rule book"
            if MEASURES[breaker.measure] >= FIRST_OBSERVED:
                yield owner, f"{key}.measure", breaker.measure, policies.measures, "telemetry.toml"
    for name, factor in policies.factors.items():
        key = dotted(("factors", name))
        yield "dynamic.toml", f"{key}.scope", factor.scope, _if_meant(factor.scope, scopes), "the rule book"
        yield "dynamic.toml", f"{key}.measure", factor.measure, policies.measures, "telemetry.toml"


def breakers_named_twice(policies: Policies) -> Iterator[str]:
    """Yield a sentence for each name that both a breaker and a threshold of telemetry have."""
    for name in sorted(set(policies.breakers) & set(policies.thresholds)):
        yield f"telemetry.toml: thresholds.{name} has the name of a breaker in breakers.toml; rename one of them."


def _if_meant(pattern: str, scopes: Collection[str]) -> Collection[str]:
    """Return the pattern alone when it means at least one scope, else nothing."""
    return (pattern,) if any(is_meant(pattern, scope) for scope in scopes) else ()


def _scopes(policies: Policies) -> list[str]:
    """Return every scope of the rule book above the parent orders."""
    models = tuple(f"{name}/{model}" for name, one in policies.strategies.items() for model in one.models)
    names: Mapping[str, Collection[str]] = {
        "firm": ("firm",), "desk": policies.desks, "strategy": policies.strategies, "model": models,
        "instrument": policies.firm.instruments, "underlying": policies.firm.underlyings,
        "venue": policies.firm.venues, "counterparty": policies.firm.counterparties,
    }  # fmt: skip
    return [f"{kind}:{name}" for kind, own in names.items() for name in own]
