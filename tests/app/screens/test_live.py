"""Pages that stay open while a search goes on: what arrives, and what stays as the reader left it."""

import json
import sqlite3
import time
from pathlib import Path

import pytest

from app import state
from app.screens import matters
from search.read import progress
from search.read.candidates import ENDED
from tests.app import synthetic
from tests.app.pages import RNG, Opened, charts, traces, words


def test_a_new_trial_arrives_and_the_choice_stays(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    at = opened(trial="4")
    before = json.loads(charts(at)[0].spec)
    synthetic.fill(path, [("COMPLETE", synthetic.trained(60, RNG))])
    at.run()
    after = json.loads(charts(at)[0].spec)
    assert after["layout"]["uirevision"] == before["layout"]["uirevision"]
    ring = next(trace for trace in after["data"] if trace.get("name") == "Selected")
    assert ring["customdata"] == [[4]]
    assert sum(len(t["text"]) for t in after["data"] if t.get("name") in ("Others", "Front")) == 1 + sum(
        len(t["text"]) for t in before["data"] if t.get("name") in ("Others", "Front")
    )


def test_the_page_holds_its_student_while_better_ones_come(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30)
    at = opened("student")
    before = at.header[0].value
    best = synthetic.trained(30, RNG)
    best["outcome"]["val_accuracy"] = 0.9999
    synthetic.fill(path, [("COMPLETE", best)])
    at.run()
    assert at.header[0].value == before


def test_the_sliders_stay_while_students_arrive(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    at = opened("matters")
    slider = next(s for s in at.select_slider if s.label == "tau")
    third, last = slider.options[len(slider.options) // 3], slider.options[-1]
    slider.set_range(float(third), float(last)).run()
    first = next(s.value for s in at.select_slider if s.label == "tau")
    synthetic.fill(path, [("COMPLETE", synthetic.trained(60 + i, RNG)) for i in range(5)])
    at.run()
    narrowed = next(s.value for s in at.select_slider if s.label == "tau")
    assert not at.exception
    assert narrowed[0] == pytest.approx(first[0], rel=0.2)
    assert narrowed[1] >= first[1]
    assert matters.snapped((None, 3.2), [1.0, 3.0, 9.0]) == (1.0, 3.0)


def test_the_front_then_stays_while_students_arrive(path: Path, opened: Opened) -> None:
    synthetic.study(path, 60)
    at = opened("progress")
    at.slider[0].set_value(7).run()
    synthetic.fill(path, [("COMPLETE", synthetic.trained(60, RNG))])
    at.run()
    assert "After 7 students the front had" in words(at)


def test_a_newer_study_does_not_take_the_page(path: Path, opened: Opened) -> None:
    synthetic.study(path, 20)
    at = opened(max_params="3000")
    assert "study" not in at.query_params
    before = json.loads(charts(at)[0].spec)["layout"]["uirevision"]
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO studies (study_name) VALUES ('newer')")
    db.close()
    at.run()
    assert at.title[0].value == "digits"
    assert at.query_params["study"] == "digits"
    assert json.loads(charts(at)[0].spec)["layout"]["uirevision"] == before
    assert "digits" in before


def test_two_studies_are_chosen_by_name(path: Path, opened: Opened) -> None:
    synthetic.study(path, 10)
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO studies (study_name) VALUES ('other')")
    db.close()
    at = opened(study="digits")
    assert at.title[0].value == "digits"
    box = next(s for s in at.selectbox if s.label == "Study")
    box.select("other").run()
    assert at.title[0].value == "other"
    assert not at.exception


def test_running_students_stand_at_their_known_cost(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30)
    attrs = synthetic.running(30, RNG)
    synthetic.fill(path, [("RUNNING", attrs)])
    at = opened()
    drawn = traces(at)["In training"]
    assert drawn["marker"]["symbol"] == "square-open"
    assert "Student 30 (stage 1, epoch 2 of 3)" in words(at)
    before = charts(at)[0].spec
    with sqlite3.connect(path) as db:
        grown = json.dumps([*attrs["reports"], attrs["reports"][-1]])
        db.execute("UPDATE trial_user_attributes SET value_json = ? WHERE trial_id = 31 AND key = 'reports'", (grown,))
    db.close()
    at.run()
    assert charts(at)[0].spec == before, "an epoch must not mount the chart anew"


def test_a_silent_search_is_told(path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic.study(path, 10)
    synthetic.fill(path, [("RUNNING", synthetic.running(10, RNG))])
    with sqlite3.connect(path) as db:
        db.execute("UPDATE study_user_attributes SET value_json = ? WHERE key = 'study'", (json.dumps({"trials": 99}),))
    db.close()
    page_text = words(opened())
    assert "has died" not in page_text, "it may have been continued: the study has not been watched for long enough"
    monkeypatch.setattr(progress, "WATCHED", 0.0)
    assert "stopped or has died" in words(opened())


def test_a_stopped_search_is_told_at_once(path: Path, opened: Opened) -> None:
    synthetic.study(path, 10)
    synthetic.fill(path, [("RUNNING", synthetic.running(10, RNG))])
    with sqlite3.connect(path) as db:
        db.execute("UPDATE study_user_attributes SET value_json = ? WHERE key = 'study'", (json.dumps({"trials": 99}),))
        db.execute(
            "INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (1, ?, ?)", (ENDED, str(time.time()))
        )
    db.close()
    page_text = words(opened())
    assert "The search was stopped" in page_text and "continues it" in page_text
    assert "has died" not in page_text


def test_a_paused_page_counts_what_is_new(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30)
    at = opened()
    at.toggle(key="paused").set_value(True).run()
    assert "paused" in words(at)


def test_back_in_the_browser_chooses_what_was_chosen(
    path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthetic.study(path, 30)
    at = opened("student", trial="4")
    at.number_input(key="w_trial").set_value(5).run()
    assert at.query_params["trial"] == "5"
    at.query_params["trial"] = "4"
    at.run()
    assert at.header[0].value == "Student 5", "an address that is a moment old is not the reader's"
    monkeypatch.setattr(state, "SETTLED", 0.0)
    at.query_params["trial"] = "4"
    at.run()
    assert at.header[0].value == "Student 4"


def test_only_the_page_of_a_student_in_training_follows_its_epochs(path: Path, opened: Opened) -> None:
    synthetic.study(path, 30)
    synthetic.fill(path, [("RUNNING", synthetic.running(30, RNG))])
    at = opened("student", trial="30")
    assert at.session_state["followed"] is not None
    assert "stage 1, epoch 2 of 3" in words(at)
    for page in ("tradeoffs", "matters"):
        at.switch_page(f"screens/{page}.py").run()
        assert at.session_state["followed"] is None
    assert opened("student", trial="4").session_state["followed"] is None
