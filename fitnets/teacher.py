"""The teacher: trained by us or brought, frozen for good, its logits tabled per epoch plan.

Shape suffixes: N images, B batch, K classes, C channels, H rows, W columns.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from fitnets.brought import Tap, brought
from fitnets.config import Brought, Precision, Report, Trained
from fitnets.data import Images, accuracy
from fitnets.errors import InputError
from fitnets.fit import fit
from fitnets.models import Network, initialise
from fitnets.net import Shape
from fitnets.precision import computing
from fitnets.store import Store, key
from fitnets.tables import tabled
from fitnets.value import sha256
from fitnets.views import Plan


class Frozen(nn.Module):
    """A network that stays in eval mode and takes no gradient, whatever is called on it or on what holds it."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Does nothing: a teacher's batch normalisation and dropout never train again."""
        return self

    def forward(self, x: Tensor) -> Tensor:
        """What the network makes of `x`, without a graph."""
        with torch.no_grad():
            y: Tensor = self.network(x)
            return y


@dataclass(frozen=True, slots=True)
class Teacher:
    """A teacher in use. Layers are numbered from 1, as `Hint.hint` does."""

    network: Frozen
    digest: str
    """Of the network and its weights: two teachers of equal digest teach alike."""
    hint_shapes: tuple[Shape, ...]
    """What each hint layer puts out for one image: channels, rows, columns."""
    hint_pieces: tuple[int, ...]
    """The maxout pieces of each hint layer; 1 for ReLU, and for every layer of a brought teacher."""
    hint_names: tuple[str, ...]
    """The hint layers as submodules of the network."""
    val_accuracy: float

    def prefix(self, hint: int) -> Frozen:
        """The network up to hint layer `hint`; nothing above it is computed."""
        inner = self.network.network
        return Frozen(inner.prefix(hint) if isinstance(inner, Network) else Tap(inner, self.hint_names[hint - 1]))

    def logits(self, images: Images, epoch: int, store: Store | None, precision: Precision = "float32") -> Tensor:
        """The teacher's logits NK on every training image as plan `epoch` shows it, float16.

        Filled on first use and shared through `store` by every trial of the same teacher and images. Logits, not
        probabilities, so that tau stays free.
        """
        plan = Plan.draw(len(images.train), epoch, images.data, images.device)

        def rows(index_B: Tensor) -> Tensor:
            with computing(precision, images.device):
                logits_BK: Tensor = self.network(images.views(plan, index_B))
                return logits_BK

        digest = self.table_key(images, epoch=epoch, precision=precision)
        return tabled("logits", digest, len(images.train), rows, store, images.device)

    def table_key(self, images: Images, **parts: object) -> str:
        """The digest of a table of this teacher: of everything that it depends on."""
        data = images.data
        views = {"shift": data.shift, "flip": data.flip, "seed": data.seed}
        return key(teacher=self.digest, images=images.digest, views=views, device=images.device.type, **parts)


def trained(teacher: Trained, images: Images, store: Store) -> Iterator[Report]:
    """Train a teacher into the store, one Report an epoch; at once when it is there already."""
    digest = _trained_key(teacher, images)
    if is_trained(teacher, images, store):
        return
    if (images.shape, len(images.classes)) != (teacher.net.input, teacher.net.classes):
        raise InputError(
            f"the teacher takes images of {teacher.net.input} and tells {teacher.net.classes} classes apart, but the "
            f"images are {images.shape} with {len(images.classes)} classes: change `teacher.net`."
        )
    network = Network(teacher.net)
    initialise(network, "scaled", 0.0, teacher.seed)
    network.to(images.device).to(memory_format=torch.channels_last)

    def epoch_loss(epoch: int) -> Any:
        plan = Plan.draw(len(images.train), epoch, images.data, images.device)
        labels = images.train.label_N

        def loss(index_B: Tensor) -> Tensor:
            with computing(teacher.precision, images.device):
                logits_BK = network(images.views(plan, index_B))
            return nn.functional.cross_entropy(logits_BK.float(), labels[index_B])

        return loss

    val_accuracy, seconds, num_images = 0.0, 0.0, len(images.train)
    settings = teacher.training
    for epoch in fit(network, epoch_loss, settings, num_images=num_images, seed=teacher.seed, device=images.device):
        val_accuracy = accuracy(network, images, images.val)
        seconds += epoch.seconds
        yield Report(
            stage="teacher",
            epoch=epoch.number,
            epochs=settings.epochs,
            loss=epoch.loss,
            val_accuracy=val_accuracy,
            seconds=epoch.seconds,
        )
    about = json.dumps({"val_accuracy": val_accuracy, "seconds": seconds}).encode()
    store.put("teacher", digest, {"weights.safetensors": save_tensors(state(network)), "about.json": about})


def is_trained(teacher: Trained, images: Images, store: Store) -> bool:
    """Whether the teacher is in the store, whole."""
    return store.get("teacher", _trained_key(teacher, images)) is not None


def files(teacher: Trained, images: Images, store: Store) -> dict[str, bytes]:
    """A trained teacher's files. Raises LookupError when it was not trained into this store."""
    digest = _trained_key(teacher, images)
    found = store.get("teacher", digest)
    if found is None:
        raise LookupError(f"teacher {digest} is not in the store: train it first.")
    return found


def receive(teacher: Trained, images: Images, store: Store, found: dict[str, bytes]) -> None:
    """Put a teacher that was trained elsewhere into this store."""
    store.put("teacher", _trained_key(teacher, images), found)


def load(teacher: Trained | Brought, images: Images, store: Store) -> Teacher:
    """The frozen teacher: from the store after `trained`, or from where its owner keeps it.

    Raises InputError when a brought teacher cannot be built, does not fit the images, or is less accurate than said.
    """
    if isinstance(teacher, Trained):
        return _load_trained(teacher, images, store)
    return _load_brought(teacher, images)


def _trained_key(teacher: Trained, images: Images) -> str:
    """Where a trained teacher is kept. Without the code's version: days of training are not thrown away for a comment.

    What students are keyed by is `Teacher.digest`, the weights themselves.
    """
    data = images.data
    return sha256(repr((teacher.digest(), images.digest, data.shift, data.flip, data.seed)))


def _load_trained(teacher: Trained, images: Images, store: Store) -> Teacher:
    found = files(teacher, images, store)
    network = Network(teacher.net)
    network.load_state_dict(load_tensors(found["weights.safetensors"]))
    return Teacher(
        network=Frozen(network.to(images.device).to(memory_format=torch.channels_last)),
        digest=sha256(teacher.net.digest() + sha256(found["weights.safetensors"])),
        hint_shapes=tuple(after for _, after in teacher.net.maps()),
        hint_pieces=tuple(conv.pieces for conv in teacher.net.convs),
        hint_names=tuple(f"layers.{number}" for number in range(len(teacher.net.convs))),
        val_accuracy=json.loads(found["about.json"])["val_accuracy"],
    )


def _load_brought(teacher: Brought, images: Images) -> Teacher:
    network, names, shapes = brought(teacher, images)
    frozen = Frozen(network)
    val_accuracy = accuracy(frozen, images, images.val)
    if val_accuracy < teacher.min_accuracy:
        raise InputError(
            f"`{teacher.build}` reaches {val_accuracy:.4f} on the validation images, but `min_accuracy` is "
            f"{teacher.min_accuracy}: check its weights, its classes' order and its `mean` and `std`."
        )
    return Teacher(
        network=frozen,
        digest=sha256(sha256(save_tensors(state(network))) + teacher.digest()),
        hint_shapes=shapes,
        hint_pieces=(1,) * len(names),
        hint_names=names,
        val_accuracy=val_accuracy,
    )


def state(network: nn.Module) -> dict[str, Tensor]:
    """A network's weights and statistics on the CPU, to be written or compared."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
