"""The reader's zoom, preserved while the chart changes.

Streamlit mounts a Plotly chart anew whenever its figure changes, and the zoom is lost (Plotly's `uirevision` does not
help, because the chart is a new one). So an invisible component sends the session the ranges that the reader zoomed
to, and the next figure starts there. Its script is a constant that runs in the page and sends no requests.

The script uses Plotly's public `chart.layout` and `chart.on`, and finds the chart by the class that Plotly gives its
element. Should that class change, a chart that gets a new student returns to its whole range, and nothing else changes.
"""

from typing import Any

import plotly.graph_objects as go
import streamlit as st
import streamlit.components.v2 as components

from fitnets.values.base import sha256

WATCH = """
export default function ({ data, setStateValue }) {
  let waiting;
  const send = (chart) => {
    const { xaxis, yaxis, uirevision } = chart.layout;
    setStateValue("seen", { view: uirevision, x: [...xaxis.range], y: [...yaxis.range] });
  };
  const attach = () => {
    const chart = document.querySelector(`.st-key-${data} .js-plotly-plot`);
    if (!chart || chart.watched || !chart.on) return;
    chart.watched = true;
    chart.on("plotly_relayout", (change) => {
      if (!Object.keys(change).some((name) => name.includes("axis"))) return;
      clearTimeout(waiting);
      waiting = setTimeout(() => send(chart), 250);
    });
  };
  const looking = setInterval(attach, 300);
  return () => clearInterval(looking);
}
"""


@st.cache_resource(show_spinner=False)
def _watcher() -> Any:
    return components.component("fitnet_zoom", js=WATCH)


def watch(chart: str) -> None:
    """Send the session the ranges that the reader zooms to; `chart` is the chart's key."""
    _watcher()(key=f"watch_{chart}", data=chart, on_seen_change=_remember, height=1)


def _remember() -> None:
    """Nothing to do: the value is in the session, from where `restore` takes it."""


def restore(figure: go.Figure, chart: str) -> bool:
    """Start the figure where the reader zoomed to; whether it is zoomed.

    A figure that is otherwise the same stays as it is, else the zoom itself would mount the chart anew.
    """
    drawn = sha256(figure.to_json())
    if st.session_state.get(f"{chart}_drawn") != drawn:
        st.session_state[f"{chart}_drawn"] = drawn
        st.session_state[f"{chart}_zoom"] = _seen(chart)
    zoom = st.session_state.get(f"{chart}_zoom")
    if not zoom or zoom["view"] != figure.layout.uirevision:
        return False
    figure.update_xaxes(range=zoom["x"])
    figure.update_yaxes(range=zoom["y"])
    return True


def forget(chart: str) -> None:
    """Return to the whole range."""
    st.session_state[f"{chart}_zoom"] = None
    st.session_state[f"{chart}_forgotten"] = _sent(chart)


def _seen(chart: str) -> dict[str, Any] | None:
    """The ranges that the reader zoomed to last; None where `forget` was called since."""
    sent = _sent(chart)
    return None if sent == st.session_state.get(f"{chart}_forgotten") else sent


def _sent(chart: str) -> dict[str, Any] | None:
    """The ranges that the browser sent, where they are valid."""
    state = st.session_state.get(f"watch_{chart}") or {}
    sent = state.get("seen")
    if not isinstance(sent, dict) or not isinstance(sent.get("view"), str):
        return None
    for axis in ("x", "y"):
        ends = sent.get(axis)
        if not isinstance(ends, list | tuple) or len(ends) != 2 or not all(isinstance(v, int | float) for v in ends):
            return None
    return {"view": sent["view"], "x": list(sent["x"]), "y": list(sent["y"])}
