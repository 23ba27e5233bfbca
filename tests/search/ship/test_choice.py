"""Which student a budget gets: by confirmed accuracy where there is one, else by the search's single runs."""

from search.read.budget import Budget
from search.read.candidates import Candidate, Snapshot
from search.ship.choice import Choice
from search.ship.first_fit import FirstFit
from tests.search.ship.test_confirmed import confirmation, confirmed
from tests.search.test_results import candidate

STUDENTS = (
    candidate(0, 0.99, 4000, 400),
    candidate(1, 0.98, 2000, 200),
    candidate(2, 0.97, 1000, 100),
    candidate(3, 0.60, 500, 50),
    candidate(4, 0.60, 500, 50, "failed"),
)
FOUND = confirmation(
    confirmed(0, 0.93, 0.94, 0.95, search=0.99, params=4000),
    confirmed(1, 0.96, 0.97, 0.98, search=0.98, params=2000),
    confirmed(2, 0.964, 0.968, 0.972, search=0.97, params=1000),
)


def snapshot(*students: Candidate) -> Snapshot:
    return Snapshot(study="digits", definition={}, teacher={}, images={}, candidates=students or STUDENTS)


def order(choice: Choice) -> list[int]:
    return [c.trial for c in choice.students]


def test_the_highest_mean_is_chosen_and_not_the_best_single_run() -> None:
    choice = Choice.of(snapshot(), FOUND, Budget())
    assert order(choice) == [1, 2, 0]
    text = choice.accuracy(choice.students[0], "python -m search.confirm digits")
    assert text.startswith("97.00% +- ")
    assert text.endswith("(3 fresh seeds; the search said 98.00%)")
    mean, half = FOUND.students[0].mean, FOUND.half_width(FOUND.students[0])
    assert half is not None
    assert choice.columns(choice.students[0]) == {
        "accuracy": mean,
        "accuracy_low": mean - half,
        "accuracy_high": mean + half,
        "half_width_95": half,
        "runs": [0.96, 0.97, 0.98],
        "failed_runs": 0,
    }


def test_the_cheapest_within_one_standard_error_is_named_and_taken_on_request() -> None:
    choice = Choice.of(snapshot(), FOUND, Budget())
    said = choice.cheaper(choice.students[0])
    assert said is not None
    assert said.startswith("within one standard error of it, the cheapest is trial 2: 96.80% +- ")
    taken = Choice.of(snapshot(), FOUND, Budget(), one_error=True)
    assert order(taken) == [2, 1, 0]
    assert taken.cheaper(taken.students[0]) is None
    assert "one standard error" in taken.by()


def test_a_lower_limit_holds_for_the_confirmed_accuracy() -> None:
    assert order(Choice.of(snapshot(), FOUND, Budget(min_accuracy=0.965))) == [1, 2]
    low = confirmation(confirmed(0, 0.99, 0.99, 0.98, search=0.5, params=4000))
    rising = snapshot(candidate(0, 0.5, 4000, 400), candidate(1, 0.6, 2000, 200))
    choice = Choice.of(rising, low, Budget(min_accuracy=0.9))
    assert order(choice) == [0], "its single run was worse"
    assert FirstFit(choice.budget, {}, lambda c: None).excess(choice.students[0]) == [], (
        "nor does that hinder the export"
    )
    assert Choice.of(snapshot(), None, Budget(min_accuracy=0.9)).budget.min_accuracy == 0.9


def test_a_student_whose_mean_is_below_the_limit_is_not_chosen_by_its_single_run() -> None:
    """Where none reached it, their optimistic single runs decided, while the pages said that none fits."""
    assert order(Choice.of(snapshot(), FOUND, Budget(min_accuracy=0.975))) == []


def test_where_no_confirmed_student_fits_the_single_runs_decide_and_it_is_said() -> None:
    choice = Choice.of(snapshot(), FOUND, Budget(max_params=600))
    assert order(choice) == [3]
    assert choice.found is None
    assert choice.accuracy(choice.students[0], "CONFIRM") == (
        "60.00% (one run, chosen as the best of 4: optimistic; to confirm it: CONFIRM)"
    )
    assert choice.columns(choice.students[0]) is None


def test_without_confirmation_the_most_accurate_single_run_is_first() -> None:
    choice = Choice.of(snapshot(), None, Budget(max_params=2500))
    assert order(choice) == [1, 2, 3]
    assert choice.cheaper(choice.students[0]) is None
    assert choice.by() == "the highest validation accuracy within the budget"
    only = Choice.of(snapshot(STUDENTS[0]), None, Budget())
    assert "best of" not in only.accuracy(only.students[0], "CONFIRM")
