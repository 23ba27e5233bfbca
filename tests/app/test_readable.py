"""What pages say once and in one way: the front that is drawn, a card's costs, a budget's line, every layer."""

from pathlib import Path

from search.read import tradeoffs
from search.read.budget import finished
from search.read.reader import read
from tests.app import synthetic
from tests.app.pages import Opened, charts, words


def test_on_the_front_is_the_front_that_is_drawn(path: Path, opened: Opened) -> None:
    """A student that is best for its multiply-adds alone is not called on the front of its parameters."""
    snapshot = read(synthetic.study(path, 200), "digits")
    drawn = tradeoffs.front_on(finished(snapshot.candidates), "parameters")
    other = tradeoffs.front_on(finished(snapshot.candidates), "multiply-adds")
    only_macs = next(c for c in other if c.trial not in {c.trial for c in drawn})
    badge = "on the front of accuracy and {}"
    assert badge.format("parameters") in words(opened("student", trial=str(drawn[0].trial)))
    assert badge.format("parameters") not in words(opened("student", trial=str(only_macs.trial)))
    page = opened("student", trial=str(only_macs.trial), axis="multiply-adds")
    assert badge.format("multiply-adds") in words(page)


def test_a_card_says_once_what_its_costs_are_beside(path: Path, opened: Opened) -> None:
    """Its buttons come before its text."""
    synthetic.study(path, 30)
    page = opened()
    order = [
        (element.type, str(getattr(element, "label", "") or getattr(element, "value", ""))) for element in page.main
    ]
    card = next(i for i, (kind, text) in enumerate(order) if kind == "markdown" and "weights, " in text)
    assert order[card][1].count("than the teacher") == 1
    assert order.index(("button", "Open")) < card


def test_the_budgets_line_says_what_it_is(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30)
    assert "3k at most" in charts(opened(max_params="3000"))[0].spec


def test_every_layer_of_a_deep_student_is_in_view(path: Path, opened: Opened) -> None:
    """A table that is no taller than Streamlit's default cuts at ten rows."""
    snapshot = read(synthetic.study(path, 200), "digits")
    deepest = max(finished(snapshot.candidates), key=lambda c: c.recipe.student.depth)
    page = opened("student", trial=str(deepest.trial))
    table = next(frame for frame in page.dataframe if "guided layer" in str(frame.value.to_dict()))
    assert len(table.value) == deepest.recipe.student.depth
