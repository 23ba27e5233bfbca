"""Several teachers as one: the two means of section 2.1, trained, loaded, and taught from."""

import pytest
import torch
from pydantic import ValidationError

from fitnets.config import Distill, Ensemble
from fitnets.disk.store import Store
from fitnets.distill.losses import kd_loss
from fitnets.distill.run import distill, result_of
from fitnets.images.images import Images, accuracy
from fitnets.nets.network import Network, initialise
from fitnets.teacher import opening, train
from fitnets.teacher.ensemble import Average
from fitnets.values.net import Net
from tests.helpers import RECIPE, SHORT, TEACHER, random_images

MEMBERS = tuple(TEACHER.changed(training=SHORT, seed=seed) for seed in (0, 1))


def networks() -> list[Network]:
    """Three small networks that disagree."""
    made = [Network(Net.staged((1, 8, 8), 5, ((4,),))).double() for _ in range(3)]
    for seed, network in enumerate(made):
        initialise(network, "scaled", 0.0, seed)
    return made


def test_probabilities_are_averaged_geometrically_or_arithmetically() -> None:
    members, x_BCHW = networks(), random_images((6, 1, 8, 8), dtype=torch.float64)
    each = [torch.softmax(member(x_BCHW), 1) for member in members]
    arithmetic = sum(each, torch.zeros(())) / 3
    geometric = (each[0] * each[1] * each[2]) ** (1 / 3)
    geometric = geometric / geometric.sum(1, keepdim=True)
    for average, wanted in (("probabilities", arithmetic), ("logits", geometric)):
        logits = Average(members, average)(x_BCHW)  # type: ignore[arg-type]
        assert torch.allclose(torch.softmax(logits, 1), wanted.float().to(logits), atol=1e-5)
    assert not torch.allclose(arithmetic, geometric, atol=1e-3)
    assert torch.allclose(Average(members, "probabilities")(x_BCHW).exp().sum(1), torch.ones(6), atol=1e-5)


@pytest.fixture(scope="module")
def store(digits: Images, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store that holds both members."""
    made = Store(tmp_path_factory.mktemp("ensemble"))
    ensemble = Ensemble(members=MEMBERS)
    assert not train.is_trained(ensemble, digits, made)
    reports = list(train.trained(ensemble, digits, made))
    assert [report.epoch for report in reports] == [1, 2, 1, 2], "one after the other"
    assert train.is_trained(ensemble, digits, made)
    assert list(train.trained(ensemble, digits, made)) == []
    return made


def test_an_ensemble_answers_with_its_members_mean_and_hints_with_its_first(digits: Images, store: Store) -> None:
    members = [opening.load(member, digits, store) for member in MEMBERS]
    loaded = opening.load(Ensemble(members=MEMBERS), digits, store)
    x_BCHW = random_images((6, 1, 8, 8))
    wanted = (members[0].network(x_BCHW) + members[1].network(x_BCHW)) / 2
    assert torch.allclose(loaded.network(x_BCHW), wanted, atol=1e-5)
    assert loaded.val_accuracy == accuracy(loaded.network, digits, digits.val)
    for hint in (1, 2, 3):
        assert torch.equal(loaded.prefix(hint)(x_BCHW), members[0].prefix(hint)(x_BCHW))
    assert loaded.hint_shapes == members[0].hint_shapes
    other = opening.load(Ensemble(members=MEMBERS, average="probabilities"), digits, store)
    assert len({loaded.digest, other.digest, members[0].digest, members[1].digest}) == 4


def test_a_student_learns_from_an_ensemble(digits: Images, store: Store) -> None:
    ensemble = opening.load(Ensemble(members=MEMBERS), digits, store)
    result = result_of(distill(RECIPE, digits, ensemble, None))
    alone = result_of(distill(RECIPE, digits, opening.load(MEMBERS[0], digits, store), None))
    assert result.outcome.teacher == ensemble.digest
    assert result.outcome.hint_r2 == alone.outcome.hint_r2, "the first member's hints"
    assert result.weights != alone.weights


def test_softening_an_arithmetic_mean_softens_the_mean() -> None:
    """P^(1/tau), normalised: what softening logits log(P) by tau does."""
    members, x_BCHW, label_B = networks(), random_images((6, 1, 8, 8), dtype=torch.float64), torch.zeros(6).long()
    mean = sum((torch.softmax(member(x_BCHW).detach(), 1) for member in members), torch.zeros(())) / 3
    taught = Average(members, "probabilities")(x_BCHW).detach()
    soft = mean ** (1 / 3.0) / (mean ** (1 / 3.0)).sum(1, keepdim=True)
    student = random_images((6, 5))
    settings = Distill(tau=3.0, tau_squared=False)
    term = kd_loss(student, taught, label_B, 1.0, settings) - kd_loss(student, taught, label_B, 0.0, settings)
    wanted = -(soft.float() * torch.log_softmax(student / 3, 1)).sum(1).mean()
    assert float(term) == pytest.approx(float(wanted), rel=1e-4)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (MEMBERS[:1], "at least 2 items"),
        ((MEMBERS[0], MEMBERS[0]), "holds a teacher twice"),
        ((MEMBERS[0], MEMBERS[1].changed(net=Net.staged((1, 8, 8), 9, ((4,),)))), "give all the same of both"),
        ((MEMBERS[0], MEMBERS[1].changed(retrain=True)), "choose `retrain=False`"),
    ],
)
def test_ensembles_that_are_none_are_refused(members: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Ensemble.model_validate({"members": members})
