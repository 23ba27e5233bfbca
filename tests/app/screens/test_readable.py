"""What pages say once and in one way: the front that is drawn, an accuracy's interval, costs, budgets, layers."""

from pathlib import Path

from app import confirmed
from app import words as shown
from search.read import tradeoffs
from search.read.budget import finished
from search.read.evidence.statistics import wilson
from search.read.reader import read
from tests.app import synthetic
from tests.app.pages import Opened, charts, words
from tests.app.screens.test_answer import picture


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


def test_an_accuracy_of_one_run_stands_with_its_interval_everywhere(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    seen = picture(path)
    best, second = seen.students[:2]
    texts = [confirmed.with_interval(c, None, seen.ties) for c in (best, second)]
    low, high = wilson(round(396 * tradeoffs.accuracy(best)), 396)
    assert texts[0] == f"{shown.percent(tradeoffs.accuracy(best))} ({100 * low:.1f} to {100 * high:.1f})"
    assert f"Validation accuracy  \n**{texts[0]}**" in words(opened("student", trial=str(best.trial)))
    compared = opened("compare", compare=f"{best.trial},{second.trial}").dataframe[0].value
    facts = compared[compared["what"] == "validation accuracy"].iloc[0]
    for c, text in zip((best, second), texts, strict=True):
        assert facts[f"Student {c.trial}"].startswith(text)
    at = opened()
    assert list(at.dataframe[0].value["accuracy"])[:2] == texts
    at.session_state.w_table = True
    at.run()
    (table,) = (frame.value for frame in at.dataframe if "limits broken" in frame.value)
    assert table["95% interval"].iloc[0] == f"{100 * low:.1f} to {100 * high:.1f}"


def test_a_mean_without_a_spread_stands_with_its_own_interval(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    trial = picture(path).students[0].trial
    synthetic.confirm(path, [(trial, [0.95])])
    low, high = wilson(376, 396)
    text = f"95.00% ({100 * low:.1f} to {100 * high:.1f})"
    assert f"**{text}**" in words(opened("student", trial=str(trial)))
    at = opened()
    assert f"**student {trial}, 95.00%** ({100 * low:.1f} to {100 * high:.1f}, mean of 1 fresh seed)" in words(at)
    assert text in list(at.dataframe[0].value["accuracy"])
