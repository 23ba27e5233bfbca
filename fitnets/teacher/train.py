"""Training a teacher on the labels, into the store.

Shape suffixes: B batch, K classes, C channels, H rows, W columns, N images.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from fitnets.config import Ensemble, Report, Trained
from fitnets.disk.store import Store, key
from fitnets.errors import InputError
from fitnets.images.images import Images, accuracy, per_class
from fitnets.images.views import Plan
from fitnets.nets.dropout import forward_with_dropout
from fitnets.nets.network import Network, initialise
from fitnets.nets.precision import computing, use_ieee_float32
from fitnets.training.checkpoints import Checkpoints
from fitnets.training.loop import reported
from fitnets.training.run import Run, state
from fitnets.training.stopping import chosen_epoch
from fitnets.values.base import sha256


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


def _trained_key(teacher: Trained, images: Images) -> str:
    """A trained teacher's name in the store. The code version is left out, so that a changed comment costs no training.

    Students are keyed by `Teacher.digest`, which depends on the weights themselves.
    """
    return sha256(repr((teacher.digest(), images.digest, *images.data.changed(plans=None).views)))


def _run_key(teacher: Trained, images: Images) -> str:
    """The name of its checkpoints: a run that began under other code starts again."""
    return key(trained=_trained_key(teacher, images), torch=(torch.__version__, images.device.type))
