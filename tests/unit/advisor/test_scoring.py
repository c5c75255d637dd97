"""The score: its parts add up, each says why it lost what it lost, and what is suggested can be gained."""

from workflow_service.advisor.scoring import Standing, potential_of, score_of


def points(standing: Standing) -> dict[str, float]:
    return {part.name: part.points for part in score_of(standing).parts}


def test_without_runs_nothing_but_the_definition_counts() -> None:
    assert score_of(Standing()).total == 100
    warned = score_of(Standing(warnings=2))
    assert warned.total == 94
    assert [part.known for part in warned.parts] == [False, False, False, True]


def test_each_part_loses_by_its_own_figure() -> None:
    standing = Standing(
        runs=50, failure_share=0.25, left_duration=0.5, left_cost=0.2, left_failure_share=0.0, dead_ways=1
    )
    assert points(standing) == {"reliability": 30.0, "speed": 15.0, "cost": 3.0, "upkeep": 12.0}
    found = score_of(standing)
    assert found.total == 60
    assert "25.0% of 50 runs failed" in found.parts[0].explanation
    assert "50.0% of a run's time" in found.parts[1].explanation
    assert potential_of(standing) == 100


def test_the_words_fit_the_numbers() -> None:
    words = [part.explanation for part in score_of(Standing(runs=1, warnings=1)).parts]
    assert words[0] == "0.0% of 1 run failed"
    assert words[1:3] == [
        "nothing found that would save of a run's time",
        "nothing found that would save of what a run costs",
    ]
    assert words[3] == "1 warning about the definition, 0 ways nobody can take"


def test_the_total_stays_within_its_bounds_and_potential_never_below_it() -> None:
    worst = Standing(
        runs=20, failure_share=1.0, left_duration=0.0, left_cost=0.0, warnings=50, left_failure_share=1.0
    )
    assert score_of(worst).total == 0
    for standing in (worst, Standing(), Standing(runs=20, failure_share=0.1, left_failure_share=0.1)):
        assert score_of(standing).total <= potential_of(standing) <= 100


def test_what_cannot_run_has_no_points() -> None:
    standing = Standing(runs=30, has_errors=True)
    assert (score_of(standing).total, potential_of(standing)) == (0, 0)
    assert {part.points for part in score_of(standing).parts} == {0.0}
