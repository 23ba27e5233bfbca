"""Page 5, Progress: is the search still worth running?"""

import os
import socket
import time

import streamlit as st

from app import beside, page, source, state, words
from app.charts import figures, palette, search_chart
from app.widgets import live, picked
from search.read import progress
from search.read.candidates import Snapshot
from search.read.progress import Growth, Stall
from search.read.stopped import describe, stops
from search.read.tradeoffs import accuracy, on_axis
from search.units import format_duration

RAYS, RAYS_PORT = "Ray's dashboard", 8265
TIMELINE = 400  # the newest trials that the timeline shows


def main() -> None:
    """The page."""
    picture = page.opened()
    snapshot = picture.snapshot
    limited = state.limited()
    history = progress.growth(snapshot, state.axis(), state.budget() if limited else None)
    st.markdown(f"**{verdict(snapshot, progress.stall(history), live.is_alive(picture))}**")
    picked.selected(picture)
    _growth(history, limited)
    _front(snapshot, len(history))
    _timeline(snapshot)
    _stops(snapshot)
    _failures(snapshot)
    _neighbours()


def verdict(snapshot: Snapshot, stall: Stall | None, alive: bool = True) -> str:
    """Whether the search is still worth running, in a sentence."""
    if stall is None:
        return "No student has finished yet."
    text = (
        "The last student made the front grow."
        if stall.students == 0
        else f"No gain for {words.plural(stall.students, 'student')} ({format_duration(stall.seconds)})."
    )
    pace = progress.pace(snapshot)
    if pace is not None:
        text += f" {pace.per_hour:,.0f} students an hour"
        running = alive and any(c.state == "running" for c in snapshot.candidates)
        if pace.left and pace.seconds_left is not None and running:
            text += f"; {words.plural(pace.left, 'student')} to go, about {format_duration(pace.seconds_left)}"
        text += "."
    return text


def _growth(history: list[Growth], limited: bool) -> None:
    st.header("How the front grew", anchor=False)
    if not history:
        st.info("The curve starts with the first student that finishes.")
        return
    st.markdown(
        f"The share of the trade-off between accuracy and {state.axis()} that the front dominates (hypervolume, cost "
        "on its logarithm). While it rises, the search still finds something; a flat end means that it does not."
        + ("" if limited else " With a budget set on the Trade-offs page, its best accuracy is drawn too.")
    )
    by = st.segmented_control("Against", ("students", "training time"), default="students", required=True, key="w_by")
    gains = [row for row in history if row.gained]
    grew = (
        f"it grew {words.plural(len(gains), 'time')}, last with student {gains[-1].trial}" if gains else "it is empty"
    )
    share = f"{history[-1].hypervolume:.1%}"
    picked.chart(
        search_chart.growth(history, by == "training time", palette.current()),
        "growth",
        alt=f"After {words.plural(len(history), 'student')} the front dominates {share}; {grew}.",
    )
    with st.expander("Every gain as a table"):
        rows = [
            {
                "students": i,
                "student": row.trial,
                "hypervolume %": round(100 * row.hypervolume, 3),
                "training hours": round(row.seconds / 3600, 3),
            }
            for i, row in enumerate(history, start=1)
            if row.gained
        ]
        st.dataframe(rows, hide_index=True, alt="When the front grew.")


def _front(snapshot: Snapshot, students: int) -> None:
    """The front after a chosen number of students, beside the present one."""
    if students < 2:
        return
    st.header("The front, then and now", anchor=False)
    # Stored apart from the slider: Streamlit makes a new one whenever a student ends, because its maximum changes.
    after = max(1, min(state.get("after") or students // 2, students))
    value = state.hold("w_after", after)
    st.slider("The front after this many students", 1, students, value=value, key="w_after", on_change=_look_back)
    axis = state.axis()
    then, now = progress.front_after(snapshot, axis, after), progress.front_after(snapshot, axis, students)
    still_on = {c.trial for c in then} & {c.trial for c in now}
    verb = "is" if len(still_on) == 1 else "are"
    text = (
        f"After {words.plural(after, 'student')} the front had {len(then)}, the best with "
        f"{words.percent(accuracy(then[-1]))}; {len(still_on)} of them {verb} still on it. Now it has {len(now)}, "
        f"the best with {words.percent(accuracy(now[-1]))}."
    )
    st.markdown(text)
    picked.chart(search_chart.fronts(then, now, axis, palette.current()), "fronts", alt=text)
    with st.expander("Both as a table"):
        names = {c.trial: c for c in (*then, *now)}
        rows = [
            {
                "student": trial,
                "accuracy": words.percent(accuracy(c)),
                axis: words.cost(on_axis(c, axis), axis),
                "then": "yes" if c in then else "",
                "now": "yes" if c in now else "",
            }
            for trial, c in sorted(names.items())
        ]
        st.dataframe(rows, hide_index=True, alt="Students on either front.")


def _look_back() -> None:
    state.put("after", st.session_state.w_after)


def _timeline(snapshot: Snapshot) -> None:
    st.header("Who worked when", anchor=False)
    shifts = progress.shifts(snapshot, time.time())
    if not shifts:
        st.info("No trial has been started yet.")
        return
    shown = sorted(shifts, key=lambda row: row.start)[-TIMELINE:]
    slots = max(row.slot for row in shown)
    busy = sum(row.end - row.start for row in shown)
    whole = (max(row.end for row in shown) - min(row.start for row in shown)) * slots
    part = f"the newest {len(shown)} of {len(shifts):,} trials" if len(shown) < len(shifts) else "every trial"
    used = f"{min(1.0, busy / whole):.0%} of the time" if whole > 0 else "all of the time"
    text = f"A bar for {part}, on the first slot that was free; {words.plural(slots, 'slot')}, busy {used}."
    st.markdown(text)
    st.plotly_chart(
        search_chart.timeline(shown, palette.current()), key="timeline", theme=None, config=figures.STILL, alt=text
    )
    with st.expander("As a table"):
        rows = [
            {
                "trial": row.trial,
                "state": words.state(row.state),
                "slot": row.slot,
                "started": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.start)),
                "seconds": round(row.end - row.start, 1),
            }
            for row in reversed(shown)
        ]
        st.dataframe(rows, hide_index=True, height=300, alt="The trials and their times.")


def _stops(snapshot: Snapshot) -> None:
    """Which students were stopped, and whether that was right; nothing where the study stops none."""
    found = stops(snapshot.candidates)
    if found is None:
        return
    st.header("Stopped early", anchor=False)
    text = describe(found)
    st.markdown(f"{text[0].upper()}{text[1:]}.")
    with st.expander("Every stopped student as a table"):
        rows = [
            {
                "student": c.trial,
                "after epoch": arrival.epoch,
                "accuracy": words.percent(arrival.accuracy),
                "dominated by": arrival.dominators,
                "dominated by fewer": f"{arrival.better} of {arrival.peers}",
            }
            for c in snapshot.candidates
            for arrival in c.rungs
            if not arrival.goes_on
        ]
        st.dataframe(rows, hide_index=True, alt="The stopped students and what decided it.")


def _failures(snapshot: Snapshot) -> None:
    st.header("Failures", anchor=False)
    found = progress.failures(snapshot)
    if not found:
        st.markdown("None.")
        return
    st.dataframe(
        [
            {
                "trials": len(f.trials),
                "message": f.message,
                "which": ", ".join(map(str, f.trials[:12])) + (" ..." if len(f.trials) > 12 else ""),
            }
            for f in found
        ],
        hide_index=True,
        alt="Failed trials by their reason.",
    )


def _neighbours() -> None:
    """Other programs' dashboards: a link where one runs on this machine, else how to start it."""
    st.header("Other dashboards", anchor=False)
    address = os.environ.get(beside.ADDRESS)
    if address is not None:
        st.markdown(
            f"[optuna-dashboard]({address}) shows a copy of this storage, made anew every half minute or less often: "
            "what is changed or deleted there is not changed here."
        )
    else:
        st.markdown("optuna-dashboard is not running. Start these pages so, and it runs beside them, on a copy:")
        st.code(source.pages_command("--optuna-dashboard"), language="bash", wrap_lines=True)
    if _answers(RAYS_PORT):
        st.markdown(f"[Something answers on port {RAYS_PORT}](http://127.0.0.1:{RAYS_PORT}), where {RAYS} usually is.")
    else:
        st.markdown(f"{RAYS} is not running: it is there while a search joins a Ray cluster that shows one.")


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.05)
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main()
