"""Studies as values and as files; storages; what changed between two definitions."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fitnets.config import Brought, Cost, Hint, Trained, Training
from fitnets.errors import InputError
from fitnets.values.net import Net
from search.read.definition import differences
from search.study import Named, Staged, StagedEnsemble, Stopping, Study, find_study, study_names
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
    ("body", "message"),
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
def test_a_faulty_study_file_is_told_and_never_a_traceback(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        find_study(study_file(tmp_path / "mine.py", body))
    assert message in str(caught.value)


@pytest.mark.parametrize("name", study_names())
def test_a_smoke_run_is_another_smaller_study(name: str) -> None:
    study, smoke = find_study(name), find_study(name).smoke()
    assert smoke.name == f"{name}-smoke"
    assert smoke.trials <= min(4, study.trials)
    assert smoke.data.limit is not None and smoke.data.limit <= 3000
    assert smoke.stage1.epochs <= study.stage1.epochs and smoke.stage2.epochs <= study.stage2.epochs
    assert smoke.stage1.epochs + smoke.stage2.epochs <= 12
    assert smoke.space.stages == study.space.stages


def price(params: int, macs: int) -> Cost:
    return Cost(params=params, weights=params, macs=macs, weight_bytes=4 * params, peak_activation_bytes=1)


def test_limits_are_relative_excesses() -> None:
    assert STUDY.excess(price(100, 100)) == {} and STUDY.allows(price(100, 100))
    limited = STUDY.changed(max_params=1000, max_macs=50_000)
    assert limited.excess(price(1000, 75_000)) == {"max_params": 0.0, "max_macs": 0.5}
    assert limited.excess(price(500, 50_000)) == {"max_params": -0.5, "max_macs": 0.0}
    assert limited.allows(price(500, 50_000)) and not limited.allows(price(1000, 75_000))


def test_a_staged_teacher_takes_its_ends_from_the_images() -> None:
    teacher = STUDY.resolved_teacher((3, 20, 16), 7)
    assert isinstance(STUDY.teacher, Staged)
    assert teacher == STUDY.teacher.resolved((3, 20, 16), 7)
    assert teacher.kind == "trained"
    assert (teacher.net.input, teacher.net.classes, teacher.net.stages) == ((3, 20, 16), 7, STUDY.teacher.stages)


def test_a_staged_teacher_says_how_it_is_trained() -> None:
    staged = Staged(stages=((8, 8), (16, 16)), pieces=1, norm="batch", training=STUDY.stage2)
    assert not staged.resolved((1, 8, 8), 10).own_views
    teacher = staged.changed(precision="bf16", shortcuts=True, own_views=True).resolved((1, 8, 8), 10)
    assert (teacher.precision, teacher.own_views) == ("bf16", True)
    assert [conv.shortcut for conv in teacher.net.convs] == [False, True, False, True]


def test_a_teacher_may_be_trained_in_the_students_precision() -> None:
    staged = Staged(stages=((8, 8), (16, 16)), training=STUDY.stage2, precision="auto")
    study = STUDY.changed(teacher=staged)
    found = {native: study.resolved_teacher((1, 8, 8), 10, native) for native in ("float32", "bf16")}
    assert {native: each.members[0].precision for native, each in found.items()} == {
        "float32": "float32",
        "bf16": "bf16",
    }
    assert study.changed(precision="float32").resolved_teacher((1, 8, 8), 10, "bf16") == found["float32"]
    two = StagedEnsemble(members=(staged, staged.changed(seed=1)))
    assert {member.precision for member in two.resolved((1, 8, 8), 10, "bf16").members} == {"bf16"}


@pytest.mark.parametrize("name", study_names())
def test_no_shipped_study_trains_in_bf16_where_the_processor_lacks_it(name: str) -> None:
    teacher = find_study(name).resolved_teacher((3, 32, 32), 10, "float32")
    assert {member.precision for member in teacher.members} == {"float32"}


def test_a_named_student_is_trained_as_designed() -> None:
    named = Named(name="theirs", stages=((5,), (7,)), hint=Hint(hint=1, guided=1))
    recipe = STUDY.named_recipe(named, STUDY.frame((1, 8, 8), 10, 2))
    assert recipe.student.stages == ((5,), (7,))
    assert (recipe.hint, recipe.stage1, recipe.stage2) == (named.hint, STUDY.stage1, STUDY.stage2)


@pytest.mark.parametrize("shortcuts", [False, True])
def test_a_named_student_has_shortcuts_where_the_space_has(shortcuts: bool) -> None:
    study = STUDY.changed(space=STUDY.space.changed(shortcuts=shortcuts))
    named = Named(name="theirs", stages=((6, 6), (7, 8)), hint=Hint(hint=1, guided=1))
    student = study.named_recipe(named, study.frame((1, 8, 8), 10, 2)).student
    assert [conv.shortcut for conv in student.convs] == [False, shortcuts, False, False]


def test_a_study_that_was_stored_before_studies_had_stopping_keeps_definition_and_digest() -> None:
    """Its own JSON, as an earlier version wrote it, has no such field."""
    dumped = STUDY.model_dump(mode="json")
    assert "stopping" not in dumped
    assert Study.model_validate(dumped) == STUDY and STUDY.stopping is None
    now = STUDY.changed(stopping=Stopping()).model_dump(mode="json")
    assert Study.model_validate(now).stopping == Stopping()
    assert [line.split(":")[0] for line in differences(dumped, now)] == [
        "stopping.audit",
        "stopping.eta",
        "stopping.rungs",
    ]


SHORT_TRAININGS = {"cifar10", "cifar10_long", "cifar100", "svhn"}


@pytest.mark.parametrize("name", study_names())
def test_shipped_studies_stop_students_early_but_for_those_of_few_epochs(name: str) -> None:
    """Of eight epochs, a rung does not show who ends on the front (bench/LOG.md); `cifar10_long` wants all its four."""
    stopping = None if name in SHORT_TRAININGS else Stopping()
    assert find_study(name).stopping == find_study(name).smoke().stopping == stopping


@pytest.mark.parametrize("share", [1.5, 0.0, -0.25])
def test_a_share_that_lies_on_no_gpu_is_refused(share: float) -> None:
    with pytest.raises(ValidationError, match=r"a trial runs on one GPU .* choose a number above 0, at most 1"):
        STUDY.changed(gpu_fraction=share)
    assert STUDY.changed(gpu_fraction=0.3).gpu_fraction == 0.3
    assert STUDY.changed(gpu_fraction=1).gpu_fraction == 1.0


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"stages": ((4,), (4,), (4,))}, "has 3 stages, but the space has 2: give the student 2 stages, or set"),
        ({"stages": ((4,), ())}, "each needs a width of 1 or more"),
        ({"stages": ((4,), (0,))}, "each needs a width of 1 or more"),
        (
            {"hint": Hint(hint=1, guided=2)},
            "has 2 convolutions and the guided layer must come before the last",
        ),
        ({"hint": Hint(hint=3, guided=1)}, "but the teacher has 2 hint layers: choose 1..2."),
    ],
)
@pytest.mark.parametrize("trained", [False, True])
def test_a_first_student_that_cannot_be_is_refused_when_the_study_is_built(
    named: dict[str, Any], message: str, trained: bool
) -> None:
    study = STUDY.changed(teacher=STUDY.resolved_teacher((1, 8, 8), 10)) if trained else STUDY
    fits = Named(name="theirs", stages=((4,), (4,)), hint=Hint(hint=2, guided=1))
    assert study.changed(first=(fits,)).first == (fits,)
    with pytest.raises(ValidationError) as caught:
        study.changed(first=(fits, fits.changed(**named)))
    assert "`first[1]` (`theirs`)" in str(caught.value) and message in str(caught.value)


def test_a_named_student_has_the_norm_of_the_space() -> None:
    study = STUDY.changed(space=STUDY.space.changed(norm="batch"))
    named = Named(name="theirs", stages=((5,), (7,)), hint=Hint(hint=1, guided=1))
    assert study.named_recipe(named, study.frame((1, 8, 8), 10, 2)).student.norm == "batch"


def test_a_smoke_run_shrinks_a_teacher_whose_net_is_fixed() -> None:
    teacher = Trained(net=Net.staged((1, 8, 8), 10, ((64,), (96,))), training=Training(epochs=500, lr=0.1, batch=128))
    smoke = STUDY.changed(teacher=teacher).smoke().teacher
    assert isinstance(smoke, Trained)
    assert smoke.net == teacher.net
    staged = STUDY.changed(teacher=Staged(stages=((8,),), training=teacher.training)).smoke().teacher
    assert isinstance(staged, Staged) and smoke.training == staged.training
    assert (smoke.training.epochs, smoke.training.batch) == (6, 32)


def test_a_smoke_run_leaves_a_brought_teacher_as_it_is() -> None:
    teacher = Brought(build="theirs:net", hint_layers=("0",))
    assert STUDY.changed(teacher=teacher).smoke().teacher == teacher


def test_auto_precision_is_the_workers_unless_the_weights_are_the_papers() -> None:
    assert [STUDY.resolved_precision(native) for native in ("bf16", "float32")] == ["bf16", "float32"]
    assert STUDY.changed(init="uniform").resolved_precision("bf16") == "float32"
    assert STUDY.changed(precision="float32").resolved_precision("bf16") == "float32"
    assert STUDY.changed(precision="bf16").resolved_precision("float32") == "bf16"
