"""What the tests of the pages share: a page's text and charts, and studies that are hard to show."""

import json
import random
from collections.abc import Callable
from typing import Any

from streamlit.testing.v1 import AppTest

from tests.app import synthetic
from tests.helpers import ROOT

MAIN = ROOT / "app/main.py"
PAGES = ("tradeoffs", "student", "compare", "matters", "progress")
RNG = random.Random(3)
Opened = Callable[..., AppTest]


def words(at: AppTest) -> str:
    """All text of the page."""
    kinds = (at.title, at.header, at.subheader, at.markdown, at.info, at.warning, at.error, at.code)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def charts(at: AppTest) -> list[Any]:
    """The page's charts, as Streamlit sends them: `spec` is Plotly's JSON, `alt` the text."""
    return [element.proto for element in at.get("plotly_chart")]


def traces(at: AppTest, chart: int = 0) -> dict[str, Any]:
    """A chart's traces by their names."""
    return {trace.get("name"): trace for trace in json.loads(charts(at)[chart].spec)["data"]}


def drawn_points(trace: dict[str, Any]) -> list[tuple[list[int], float]]:
    """Each point's custom data, the trial's number, and its cost."""
    return list(zip(trace["customdata"], trace["x"], strict=True))


def awkward(kind: str) -> list[tuple[str, dict[str, Any]]]:
    """The trials of a study of this kind, each a state of Optuna's and its attributes."""
    over = synthetic.running(0, RNG, epochs=0) | {"infeasible": True}
    one = synthetic.trained(0, RNG)
    future = synthetic.trained(1, RNG)
    future["recipe"] = future["recipe"] | {"unknown": 1}
    nan = synthetic.trained(2, RNG)
    nan["outcome"]["val_accuracy"] = float("nan")
    bare = {"recipe": one["recipe"]}
    stopped = [("PRUNED", synthetic.stopped(number, RNG)) for number in (1, 2)]
    audited = synthetic.trained(3, RNG) | {"rungs": [synthetic.at_rung(2, 3, 0.4, goes_on=True, audited=True)]}
    first = one | {"rungs": [synthetic.at_rung(2, 0, 0.9, goes_on=True)]}
    return {
        "running": [("RUNNING", synthetic.running(0, RNG)), ("WAITING", {})],
        "failed": [("FAIL", synthetic.running(0, RNG) | {"reason": "ValueError: <b>7</b> is wrong"})] * 3,
        "infeasible": [("PRUNED", over)],
        "stopped": [("COMPLETE", first), *stopped, ("COMPLETE", audited), ("PRUNED", over)],
        "all stopped": stopped,
        "one": [("COMPLETE", one)],
        "equal": [("COMPLETE", one)] * 12,
        "odd": [("COMPLETE", future), ("COMPLETE", nan), ("COMPLETE", bare), ("FAIL", {}), ("COMPLETE", {})],
    }[kind]
