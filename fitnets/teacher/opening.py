"""Opening a teacher: from the store, where it was trained, or as the user brings it."""

import json
from dataclasses import replace

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from fitnets.config import Brought, Ensemble, Trained
from fitnets.disk.store import Store
from fitnets.images.images import Images, per_class
from fitnets.nets.network import Network
from fitnets.nets.precision import use_ieee_float32
from fitnets.teacher.brought import Opened, brought, code_of
from fitnets.teacher.ensemble import Average
from fitnets.teacher.probe import check_accuracy
from fitnets.teacher.teacher import Frozen, Teacher
from fitnets.teacher.train import files
from fitnets.training.run import state
from fitnets.values.base import sha256
from fitnets.values.per_class import PerClass


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
