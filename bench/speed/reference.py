"""Knowledge distillation the usual way, as a baseline for ours: what RepDistiller's and torchdistill's loops do.

A DataLoader turns PIL images into tensors one by one; the whole teacher runs in float32 for every batch of every
trial; maxout is `torch.maximum` of two halves; loss and accuracies are read with `.item()` after every step.
Only the nets, the losses and the optimiser's settings are ours. Shape suffixes as in `fitnets`.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from fitnets.config import Hint, Recipe, Training
from fitnets.distill.losses import lambda_at
from fitnets.distill.regressor import Regressor
from fitnets.images.images import Images, Split
from fitnets.nets.network import Layer, Network
from fitnets.teacher.teacher import Teacher
from fitnets.training.optim import apply_schedules, optimiser
from fitnets.values.net import Net


class PlainLayer(nn.Module):
    """A layer of ours with its maxout in the usual form; it shares the layer's weights."""

    def __init__(self, layer: Layer):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """The same function as the layer's."""
        layer, below = self.layer, x
        x = layer.linear(x.flatten(1) if isinstance(layer.linear, nn.Linear) else x)
        x = x if layer.norm is None else layer.norm(x)
        pieces = [piece + below if layer.shortcut else piece for piece in x.chunk(layer.pieces, 1)]
        x = F.relu(pieces[0]) if layer.pieces == 1 else pieces[0]
        for piece in pieces[1:]:
            x = torch.maximum(x, piece)
        return x if layer.pool is None else layer.pool(x)


class PlainNetwork(nn.Module):
    """A network that returns its logits and the output of every layer, as `is_feat=True` does in RepDistiller."""

    def __init__(self, network: Network):
        super().__init__()
        self.layers = nn.ModuleList([PlainLayer(x) if isinstance(x, Layer) else x for x in network.layers])

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Images BCHW to (logits BK, each layer's output)."""
        features = []
        for layer in self.layers:
            x_BCHW = layer(x_BCHW)
            features.append(x_BCHW)
        return x_BCHW, features


class Pictures(Dataset[tuple[Tensor, int]]):
    """PIL images through transforms, one at a time, as in torchvision's data sets."""

    def __init__(self, split: Split, transform: Callable[[Any], Tensor]):
        pixels = split.pixels_NHWC.numpy()
        self.pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
        self.labels, self.transform = split.label_N.tolist(), transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def loader(images: Images, split: Split, batch: int, *, train: bool) -> DataLoader[tuple[Tensor, int]]:
    """The usual loader: pad, crop, flip, to tensor, normalise; in this process, as a trial has one core."""
    data, (_, height, width) = images.data, images.shape
    steps: list[Any] = []
    if train and data.shift:
        steps.append(transforms.RandomCrop((height, width), padding=data.shift, padding_mode="reflect"))
    if train and data.flip:
        steps.append(transforms.RandomHorizontalFlip())
    mean, deviation = (t.flatten().div(255).tolist() for t in (images.preprocess.mean, images.preprocess.deviation))
    steps += [transforms.ToTensor(), transforms.Normalize(mean, deviation)]
    pictures = Pictures(split, transforms.Compose(steps))
    return DataLoader(pictures, batch_size=batch, shuffle=train, drop_last=train)


class Meter:
    """A running mean of numbers that are read from the device in every step."""

    def __init__(self) -> None:
        self.total, self.seen = 0.0, 0

    def update(self, value: Tensor, count: int) -> None:
        """Add a batch's mean."""
        self.total, self.seen = self.total + value.item() * count, self.seen + count


def kd_epoch(
    student: PlainNetwork, teacher: PlainNetwork, recipe: Recipe, images: Images, optimizer: Any, epoch: int
) -> int:
    """One epoch of stage 2; returns the number of images it trained on."""
    training, distill = recipe.stage2, recipe.distill
    lam = lambda_at(epoch, training.epochs, distill)
    losses, top1, top5 = Meter(), Meter(), Meter()
    batches = loader(images, images.train, training.batch, train=True)
    student.train()
    for step, (x_BCHW, label_B) in enumerate(batches):
        apply_schedules(optimizer, training, epoch, step, len(batches))
        logits_BK, _ = student(x_BCHW)
        with torch.no_grad():
            teacher_BK, _ = teacher(x_BCHW)
        soft = F.kl_div(
            F.log_softmax(logits_BK / distill.tau, 1), F.softmax(teacher_BK / distill.tau, 1), reduction="batchmean"
        )
        loss = F.cross_entropy(logits_BK, label_B) + lam * distill.tau**2 * soft
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        _measure(losses, top1, top5, loss, logits_BK, label_B)
    return losses.seen


def hint_epoch(
    student: PlainNetwork,
    regressor: Regressor,
    teacher: PlainNetwork,
    recipe: Recipe,
    images: Images,
    optimizer: Any,
    epoch: int,
    scale: tuple[Tensor, Tensor],
) -> int:
    """One epoch of stage 1, with both nets run completely; returns the number of images it trained on."""
    hint, training = recipe.hint, recipe.stage1
    assert hint is not None
    assert training is not None
    mean_C11, deviation_C11 = scale
    losses = Meter()
    batches = loader(images, images.train, training.batch, train=True)
    student.train()
    for step, (x_BCHW, _) in enumerate(batches):
        apply_schedules(optimizer, training, epoch, step, len(batches))
        _, features = student(x_BCHW)
        with torch.no_grad():
            _, teacher_features = teacher(x_BCHW)
        target_BCHW = F.adaptive_avg_pool2d(teacher_features[hint.hint - 1], regressor.out)
        loss = F.mse_loss(regressor(features[hint.guided - 1]), (target_BCHW - mean_C11) / deviation_C11)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.update(loss, len(x_BCHW))
    return losses.seen


@torch.no_grad()
def accuracy(network: PlainNetwork, images: Images, split: Split) -> float:
    """Validation the usual way: through the loader, `.item()` for every batch."""
    network.eval()
    top1 = Meter()
    for x_BCHW, label_B in loader(images, split, 128, train=False):
        top1.update((network(x_BCHW)[0].argmax(1) == label_B).float().mean(), len(label_B))
    return top1.total / top1.seen


def plain_teacher(teacher: Teacher) -> PlainNetwork:
    """Our teacher as a plain network."""
    inner = teacher.network.network
    assert isinstance(inner, Network)
    return PlainNetwork(inner).eval()


def optimizer_of(training: Training, *modules: nn.Module) -> Any:
    """The recipe's optimiser over the modules."""
    return optimiser(training, nn.ModuleList(modules))


def regressor_of(hint: Hint, student: Net, teacher: Teacher) -> Regressor:
    """The recipe's regressor."""
    shape, pieces = teacher.hint_shapes[hint.hint - 1], teacher.hint_pieces[hint.hint - 1]
    return Regressor(student.maps()[hint.guided - 1][1], shape, hint.regressor, pieces)


def _measure(losses: Meter, top1: Meter, top5: Meter, loss: Tensor, logits_BK: Tensor, label_B: Tensor) -> None:
    right_BK = logits_BK.topk(min(5, logits_BK.shape[1]), 1).indices == label_B[:, None]
    losses.update(loss, len(label_B))
    top1.update(right_BK[:, :1].float().sum() / len(label_B), len(label_B))
    top5.update(right_BK.float().sum() / len(label_B), len(label_B))
