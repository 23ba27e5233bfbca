"""Studies as values and as files; storages; what changed between two definitions."""

import json
from pathlib import Path

import pytest

from fitnets.config import Hint
from fitnets.errors import InputError
from search.study import Named, Staged, Study, differences, find_study, study_names
from tests.helpers import STUDY


def study_file(path: Path, body: str) -> str:
    """A study's file."""
    path.write_text(body)
    return str(path)


@pytest.mark.parametrize("name", study_names())
def test_every_shipped_study_is_valid_and_survives_json(name: str) -> None:
    study = find_study(name)
    assert study.name == name
    for variant in (study, study.smoke()):
        assert Study.model_validate_json(variant.model_dump_json()) == variant


def test_the_studies_of_the_issue_are_there() -> None:
    assert {"digits", "mnist", "cifar10", "cifar100", "svhn", "folder"} <= set(study_names())


def test_a_study_is_found_by_its_files_path(tmp_path: Path) -> None:
    file = study_file(
        tmp_path / "mine.py",
        "from studies.digits import STUDY as BASE\nSTUDY = BASE.changed(name='mine', trials=7)\n",
    )
    assert (find_study(file).name, find_study(file).trials) == ("mine", 7)


@pytest.mark.parametrize("name", ["digit", "", "../studies/digits", "studies/digits", "/etc/passwd", "__init__", "."])
def test_an_unknown_study_is_told_with_those_there_are(name: str) -> None:
    with pytest.raises(InputError, match=r"no study is called .*: choose from .*digits.*or give the path"):
        find_study(name)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("x = 1\n", "defines no `STUDY = Study"),
        ("STUDY = 3\n", "defines no `STUDY = Study"),
        ("STUDY = (\n", "cannot be loaded (SyntaxError"),
        ("import no_such_module\n", "cannot be loaded (ModuleNotFoundError: No module named 'no_such_module')"),
        ("1 / 0\n", "cannot be loaded (ZeroDivisionError"),
        ("from studies.digits import STUDY as B\nSTUDY = B.changed(trials=0)\n", "is not valid:\ntrials: "),
        ("from studies.digits import STUDY as B\nSTUDY = B.changed(name='a/b')\n", "is not valid:\nname: "),
        ("from studies.digits import STUDY as B\nSTUDY = B.changed(colour='red')\n", "is not valid:\ncolour: "),
    ],
)
def test_a_faulty_study_file_is_told_and_never_a_traceback(tmp_path: Path, body: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        find_study(study_file(tmp_path / "mine.py", body))
    assert told in str(caught.value)


def test_differences_are_named_by_path_and_trials_may_change() -> None:
    stored = json.loads(STUDY.model_dump_json())
    assert differences(stored, STUDY.changed(trials=99).model_dump(mode="json")) == []
    now = STUDY.changed(seed=4, stage2=STUDY.stage2.changed(epochs=9), max_params=1000)
    assert differences(stored, now.model_dump(mode="json")) == [
        "max_params: was None, is now 1000",
        "seed: was 0, is now 4",
        "stage2.epochs: was 1, is now 9",
    ]


def test_a_definition_that_lacks_fields_differs() -> None:
    stored = STUDY.model_dump(mode="json")
    del stored["init"]
    assert differences(stored, STUDY.model_dump(mode="json")) == ["init: was None, is now scaled"]


@pytest.mark.parametrize("name", study_names())
def test_a_smoke_run_is_another_smaller_study(name: str) -> None:
    study, smoke = find_study(name), find_study(name).smoke()
    assert smoke.name == f"{name}-smoke"
    assert smoke.trials <= min(4, study.trials)
    assert smoke.data.limit is not None and smoke.data.limit <= 3000
    assert smoke.stage1.epochs <= study.stage1.epochs and smoke.stage2.epochs <= study.stage2.epochs
    assert smoke.stage1.epochs + smoke.stage2.epochs <= 12
    assert smoke.space.stages == study.space.stages


def test_limits_are_relative_excesses() -> None:
    assert STUDY.over_budget(100, 100) == {}
    limited = STUDY.changed(max_params=1000, max_macs=50_000)
    assert limited.over_budget(1000, 75_000) == {"max_params": 0.0, "max_macs": 0.5}
    assert limited.over_budget(500, 50_000) == {"max_params": -0.5, "max_macs": 0.0}


def test_a_staged_teacher_takes_its_ends_from_the_images() -> None:
    teacher = STUDY.resolved_teacher((3, 20, 16), 7)
    assert isinstance(STUDY.teacher, Staged)
    assert teacher == STUDY.teacher.resolved((3, 20, 16), 7)
    assert teacher.kind == "trained"
    assert (teacher.net.input, teacher.net.classes, teacher.net.stages) == ((3, 20, 16), 7, STUDY.teacher.stages)


def test_a_named_student_is_trained_as_designed() -> None:
    named = Named(name="theirs", stages=((5,), (7,)), hint=Hint(hint=1, guided=1))
    recipe = STUDY.named_recipe(named, STUDY.frame((1, 8, 8), 10, 2))
    assert recipe.student.stages == ((5,), (7,))
    assert (recipe.hint, recipe.stage1, recipe.stage2) == (named.hint, STUDY.stage1, STUDY.stage2)
