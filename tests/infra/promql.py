"""Evaluates the few forms of PromQL that the autoscaling queries have, over the page of a real registry.

The grammar is Prometheus's own, by the library promql-parser; a form that is not known here is an error.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import promql_parser
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
_FOLDS = {"sum": sum, "max": max}


@dataclass(frozen=True)
class Sample:
    name: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)


def samples_of(page: str, **target: str) -> list[Sample]:
    """The samples of a page of metrics; Prometheus adds the labels of its `target` to each."""
    families = text_string_to_metric_families(page)
    return [Sample(each.name, each.value, {**each.labels, **target}) for one in families for each in one.samples]


def evaluated(query: str, samples: Sequence[Sample]) -> float | None:
    """The value of a query with one element in its result, as KEDA asks for; None where the result is empty."""
    vector = _vector(promql_parser.parse(query), samples)
    assert len(vector) <= 1, f"{query} has {len(vector)} elements"
    return next(iter(vector.values()), None)


def _vector(node: object, samples: Sequence[Sample]) -> Vector:
    if isinstance(node, promql_parser.VectorSelector):
        wanted = {_equal(matcher) for matcher in node.matchers.matchers}
        chosen = [each for each in samples if each.name == node.name and wanted <= set(each.labels.items())]
        return {frozenset(each.labels.items()): each.value for each in chosen}
    if isinstance(node, promql_parser.AggregateExpr):
        kept = set(node.modifier.labels) if node.modifier else set()
        assert node.modifier is None or node.modifier.type == promql_parser.AggModifierType.By
        groups: defaultdict[Labels, list[float]] = defaultdict(list)
        for labels, value in _vector(node.expr, samples).items():
            groups[frozenset(pair for pair in labels if pair[0] in kept)].append(value)
        fold = _FOLDS[str(node.op)]
        return {labels: fold(values) for labels, values in groups.items()}
    assert isinstance(node, promql_parser.BinaryExpr) and str(node.op) == "+", f"unknown: {node}"
    left, right = _vector(node.lhs, samples), _vector(node.rhs, samples)
    return {labels: left[labels] + right[labels] for labels in left.keys() & right.keys()}


def _equal(matcher: "promql_parser.Matcher") -> tuple[str, str]:
    assert matcher.op == promql_parser.MatchOp.Equal, f"unknown: {matcher}"
    return matcher.name, matcher.value
