"""The soak's verdicts: which values count as flat, and which grow."""

import pytest

pytest.importorskip("prefect", reason="the service needs the extra 'service'")
from benchmarks.trends import Sample, slope_of, table, trends


def samples(name: str, values: list[float], every: int = 20) -> list[Sample]:
    return [Sample(number * every, 0.0, {name: value}) for number, value in enumerate(values)]


def test_the_slope_is_that_of_most_pairs_and_one_wild_value_does_not_move_it() -> None:
    assert slope_of([(0, 1.0), (50, 2.0), (100, 3.0), (150, 4.0)]) == 2.0  # per hundred jobs
    assert slope_of([(0, 1.0), (50, 2.0), (100, 900.0), (150, 4.0), (200, 5.0)]) == 2.0
    assert slope_of([(0, 1.0)]) == 0.0


@pytest.mark.parametrize(
    ("name", "values", "verdict"),
    [
        ("memory worker, MB", [100 + 0.3 * number for number in range(30)], "GROWS"),  # 1.5 in a hundred jobs
        ("memory worker, MB", [100 + 0.1 * number for number in range(30)], "flat"),
        ("memory server, MB", [400 + 0.7 * number for number in range(30)], "flat"),  # less than one percent
        ("threads worker", [5 + number // 5 for number in range(30)], "GROWS"),
        ("descriptors worker", [20.0 + number % 3 for number in range(30)], "flat"),
        ("objects tracks", [20.0] * 30, "flat"),
        ("files temporary", [float(number) for number in range(30)], "GROWS"),
    ],
)
def test_a_thing_is_flat_up_to_a_percent_or_its_floor(name: str, values: list[float], verdict: str) -> None:
    [trend] = trends(samples(name, values), warm=100)
    assert trend.verdict == verdict
    assert table([trend]).splitlines()[-1].endswith(f"| {verdict} |")


def test_what_comes_before_the_first_hundred_jobs_does_not_count() -> None:
    warming = [float(100 + 40 * number) for number in range(5)] + [300.0] * 20
    [trend] = trends(samples("memory server, MB", warming), warm=100)
    assert (trend.verdict, trend.first, trend.last) == ("flat", 300.0, 300.0)


def test_a_thing_that_appears_late_counts_as_nothing_before() -> None:
    seen = samples("files temporary", [0.0] * 30)
    late = [Sample(each.jobs, 0.0, {"disk left, MB": 9.0}) for each in samples("x", [0.0] * 45)[30:]]
    found = {trend.name: trend for trend in trends([*seen, *late], warm=100)}
    assert found["disk left, MB"].first == 0.0 and found["disk left, MB"].last == 9.0
