"""The teacher: trained here or brought by the user, then frozen; its logits are tabled for each epoch.

Shape suffixes: N images, B batch, K classes, C channels, H rows, W columns.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from fitnets.config import Brought, Ensemble, Precision, Report, Trained
from fitnets.disk.store import Store, key
from fitnets.errors import InputError
from fitnets.images.images import Images, accuracy, per_class
from fitnets.images.views import Plan
from fitnets.nets.dropout import forward_with_dropout
from fitnets.nets.network import Network, initialise
from fitnets.nets.precision import computing, use_ieee_float32
from fitnets.nets.taps import Tap, tapped
from fitnets.teacher.brought import Opened, brought, code_of
from fitnets.teacher.ensemble import Average
from fitnets.teacher.probe import check_accuracy
from fitnets.teacher.tables import Table, as_float16, tabled
from fitnets.training.checkpoints import Checkpoints
from fitnets.training.loop import reported
from fitnets.training.run import Run, state
from fitnets.training.stopping import chosen_epoch
from fitnets.values.base import sha256
from fitnets.values.net import Shape
from fitnets.values.per_class import PerClass


class Frozen(nn.Module):
    """A network that stays in eval mode and without gradients, also when `train` is called on it or its parent."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Does nothing, so that batch normalisation and dropout stay in eval mode."""
        return self

    def forward(self, x: Tensor) -> Tensor:
        """The network's output for `x`, without an autograd graph."""
        with torch.no_grad():
            y: Tensor = self.network(x)
            return y


@dataclass(frozen=True, slots=True)
class Teacher:
    """A teacher, ready to be used. Hint layers are numbered from 1, as in `Hint.hint`."""

    network: Frozen
    digest: str
    """Of the network, its weights and, if it was brought, its code: teachers with equal digests have equal outputs."""
    hint_shapes: tuple[Shape, ...]
    """Each hint layer's output for one image: channels, rows, columns."""
    hint_pieces: tuple[int, ...]
    """The maxout pieces of each hint layer; 1 for ReLU, and for every layer of a brought teacher."""
    hint_names: tuple[str, ...]
    """The names of the hint layers as submodules of the network."""
    val_accuracy: float
    classes: PerClass | None = None
    """None for a teacher that an earlier version trained."""
    notes: tuple[str, ...] = ()
    """How a brought teacher was adapted, a line of text each."""
    contents: tuple[str, str] | None = None
    """The digests of a brought teacher's weights and of its code."""

    def prefix(self, hint: int) -> Frozen:
        """The network up to hint layer `hint`; nothing above it is computed."""
        inner = self.network.network
        if isinstance(inner, Network | Average):
            return Frozen(inner.prefix(hint))
        return Frozen(Tap(inner, self.hint_names[hint - 1]))

    def logits(self, images: Images, epoch: int, store: Store | None, precision: Precision = "float32") -> Tensor:
        """The teacher's logits NK for every training image's view in `epoch`, float16.

        Computed on first use and shared through `store` by all trials with the same teacher and images. Logits, not
        probabilities, so that they serve every tau.
        """
        epoch = images.data.equivalent_epoch(epoch)
        plan = Plan.draw(len(images.train), epoch, images.data, images.device)

        def rows(index_B: Tensor, tables: Sequence[Table]) -> list[Tensor]:
            with computing(precision, images.device):
                logits_BK = self.network(images.views(plan, index_B))
            return [as_float16(logits_BK, index_B, self.name_output("training", None))]

        table = Table("logits", self.table_key(images, epoch=epoch, precision=precision))
        return tabled([table], len(images.train), rows, store, images.device)

    def outputs(self, x_BCHW: Tensor, hints: Sequence[int], *, logits: bool) -> list[Tensor]:
        """One pass: the outputs BCHW of these hint layers, followed by the logits BK if `logits` is set."""
        with torch.no_grad():
            return tapped(self.network.network, x_BCHW, [self.hint_names[hint - 1] for hint in hints], whole=logits)

    def name_output(self, split: str, hint: int | None) -> str:
        """A name for errors of the teacher's output on a split: of hint layer `hint` or, if None, of the logits."""
        layer = "logits" if hint is None else f"hints of layer {hint} (`{self.hint_names[hint - 1]}`)"
        return f"the {layer} of teacher {self.digest[:12]} for the {split} images"

    def table_key(self, images: Images, **parts: object) -> str:
        """The digest of everything that a pass over the images, and so each of its tables, depends on."""
        context = {"views": images.data.views, "torch": (torch.__version__, images.device.type)}
        return key(teacher=self.digest, images=images.digest, **context, **parts)


def trained(teacher: Trained | Ensemble, images: Images, store: Store) -> Iterator[Report]:
    """Train a teacher into the store, with a Report for each epoch; nothing to do if it is already there.

    An interrupted run continues from its last checkpoint and reports the earlier epochs again. An ensemble's members
    are trained one after the other. Raises InputError when the teacher does not fit the images.
    """
    use_ieee_float32()
    if isinstance(teacher, Ensemble):
        for member in teacher.members:
            yield from trained(member, images, store)
        return
    if is_trained(teacher, images, store):
        return
    if (images.shape, len(images.classes)) != (teacher.net.input, teacher.net.classes):
        raise InputError(
            f"the teacher takes images of {teacher.net.input} and tells {teacher.net.classes} classes apart, but the "
            f"images are {images.shape} with {len(images.classes)} classes: change `teacher.net`."
        )
    yield from (_retrained if teacher.retrain else _once)(teacher, images, store)


def _once(teacher: Trained, images: Images, store: Store) -> Iterator[Report]:
    """One training run, from the beginning or from a checkpoint."""
    network = Network(teacher.net)
    initialise(network, teacher.init, teacher.init_range, teacher.seed)
    network.to(images.device).to(memory_format=torch.channels_last)
    labels, dropout = images.train.label_N, teacher.dropout
    data = (images.data.with_other_views() if teacher.own_views else images.data).changed(plans=None)

    def epoch_loss(epoch: int) -> Callable[[Tensor], Tensor]:
        plan = Plan.draw(len(images.train), epoch, data, images.device)

        def loss(index_B: Tensor) -> Tensor:
            x_BCHW = images.views(plan, index_B)
            with computing(teacher.precision, images.device):
                logits_BK = network(x_BCHW) if dropout is None else forward_with_dropout(network, x_BCHW, dropout)
            return nn.functional.cross_entropy(logits_BK.float(), labels[index_B])

        return loss

    def score(epoch: int) -> dict[str, float]:
        return {"val_accuracy": accuracy(network, images, images.val)}

    checkpoints = Checkpoints(store, _run_key(teacher, images))
    yield from checkpoints.replayed()
    settings: Any = {"num_images": len(images.train), "seed": teacher.seed, "device": images.device}
    yield from reported("teacher", Run(network, teacher.training), epoch_loss, score, checkpoints, **settings)
    measures = [report.measure for report in checkpoints.reports]
    epoch = chosen_epoch(teacher.training, measures)
    seconds = sum(report.seconds for report in checkpoints.reports)
    classes = per_class(network, images, images.val).model_dump()
    about = {"val_accuracy": measures[epoch - 1], "epoch": epoch, "seconds": seconds, "classes": classes}
    found = {"weights.safetensors": save_tensors(state(network)), "about.json": json.dumps(about).encode()}
    receive(teacher, images, store, found)
    checkpoints.remove()


def _retrained(teacher: Trained, images: Images, store: Store) -> Iterator[Report]:
    """A run to choose the number of epochs, stored as a teacher of its own; then a run of that length on all images."""
    first = teacher.changed(retrain=False)
    yield from trained(first, images, store)
    about = json.loads(files(first, images, store)["about.json"])
    training = first.training.changed(until=about["epoch"], keep="last", patience=None)
    second, whole = first.changed(training=training), images.whole()
    for report in trained(second, whole, store):
        yield report.changed(retraining=True, val_accuracy=None)  # measured on images that it trains on
    found = files(second, whole, store)
    about["seconds"] += json.loads(found["about.json"])["seconds"]
    receive(teacher, images, store, found | {"about.json": json.dumps(about).encode()})


def is_trained(teacher: Trained | Ensemble, images: Images, store: Store) -> bool:
    """Whether the teacher is in the store, intact."""
    if isinstance(teacher, Ensemble):
        return all(is_trained(member, images, store) for member in teacher.members)
    return store.get("teacher", _trained_key(teacher, images)) is not None


def files(teacher: Trained, images: Images, store: Store) -> dict[str, bytes]:
    """A trained teacher's files. Raises LookupError when it was not trained into this store."""
    digest = _trained_key(teacher, images)
    found = store.get("teacher", digest)
    if found is None:
        raise LookupError(f"teacher {digest} is not in the store: train it first.")
    return found


def receive(teacher: Trained, images: Images, store: Store, found: dict[str, bytes]) -> None:
    """Put a trained teacher's files into this store."""
    store.put("teacher", _trained_key(teacher, images), found)


def load(teacher: Trained | Brought | Ensemble, images: Images, store: Store) -> Teacher:
    """The frozen teacher: from the store after `trained`, or as the user brings it.

    Raises InputError when a brought teacher cannot be built, does not fit the images, or is not accurate enough.
    """
    use_ieee_float32()
    if isinstance(teacher, Trained):
        return _load_trained(teacher, images, store)
    if isinstance(teacher, Ensemble):
        return _load_ensemble(teacher, images, store)
    return _load_brought(teacher, images)


def _trained_key(teacher: Trained, images: Images) -> str:
    """A trained teacher's name in the store. The code version is left out, so that a changed comment costs no training.

    Students are keyed by `Teacher.digest`, which depends on the weights themselves.
    """
    return sha256(repr((teacher.digest(), images.digest, *images.data.changed(plans=None).views)))


def _run_key(teacher: Trained, images: Images) -> str:
    """The name of its checkpoints: a run that began under other code starts again."""
    return key(trained=_trained_key(teacher, images), torch=(torch.__version__, images.device.type))


def _load_trained(teacher: Trained, images: Images, store: Store) -> Teacher:
    found = files(teacher, images, store)
    network = Network(teacher.net)
    network.load_state_dict(load_tensors(found["weights.safetensors"]))
    about = json.loads(found["about.json"])
    return Teacher(
        network=Frozen(network.to(images.device).to(memory_format=torch.channels_last)),
        digest=sha256(teacher.net.digest() + sha256(found["weights.safetensors"])),
        hint_shapes=tuple(after for _, after in teacher.net.maps()),
        hint_pieces=tuple(conv.pieces for conv in teacher.net.convs),
        hint_names=tuple(f"layers.{number}" for number in range(len(teacher.net.convs))),
        val_accuracy=about["val_accuracy"],
        classes=PerClass.model_validate(about["classes"]) if "classes" in about else None,
    )


def _load_ensemble(teacher: Ensemble, images: Images, store: Store) -> Teacher:
    members = [_load_trained(member, images, store) for member in teacher.members]
    networks = [member.network.network for member in members]
    frozen = Frozen(Average([network for network in networks if isinstance(network, Network)], teacher.average))
    classes = per_class(frozen, images, images.val)
    return replace(
        members[0],
        network=frozen,
        digest=sha256(repr((teacher.average, [member.digest for member in members]))),
        hint_names=tuple(f"members.0.{name}" for name in members[0].hint_names),
        val_accuracy=classes.accuracy,
        classes=classes,
    )


def _load_brought(teacher: Brought, images: Images) -> Teacher:
    opened = brought(teacher, images)
    frozen = Frozen(opened.network)
    classes = per_class(frozen, images, images.val)
    check_accuracy(teacher, classes.accuracy, images)
    contents = _contents(teacher, opened)
    return Teacher(
        network=frozen,
        digest=_brought_digest(teacher, contents),
        hint_shapes=opened.hint_shapes,
        hint_pieces=(1,) * len(opened.hint_names),
        hint_names=opened.hint_names,
        val_accuracy=classes.accuracy,
        classes=classes,
        notes=opened.notes,
        contents=contents,
    )


def brought_digests(teacher: Brought, images: Images) -> tuple[str, tuple[str, str]]:
    """The `Teacher.digest` and `Teacher.contents` of a brought teacher as it is now. Its accuracy is not measured.

    Raises InputError when it cannot be built, or does not fit the images.
    """
    use_ieee_float32()
    contents = _contents(teacher, brought(teacher, images))
    return _brought_digest(teacher, contents), contents


def _contents(teacher: Brought, opened: Opened) -> tuple[str, str]:
    return sha256(save_tensors(state(opened.network))), code_of(teacher, opened.network)


def _brought_digest(teacher: Brought, contents: tuple[str, str]) -> str:
    return teacher.changed(min_accuracy=0.0).digest_with(*contents)  # the required accuracy makes no other teacher
