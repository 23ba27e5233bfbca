"""How the paper trains its nets, and how the same nets would be trained today: recipes as values.

`paper`: as stated in the text or else as in the released code and pylearn2's maxout recipes.
`modern`: an initialisation that preserves the signal's size, AdamW, and a one-cycle learning rate. Nets and hint pairs
are the same. A net is named as in `fitnets.paper.nets`: `cifar10/fitnet1`.
"""

from collections.abc import Callable
from typing import Literal

from fitnets.config import Data, Distill, Ensemble, Hint, Precision, Recipe, Trained, Training
from fitnets.paper.alternatives import joint_kd, joint_labels, labels_then_kd, labels_then_labels
from fitnets.paper.nets import Pair, Reading, nets
from fitnets.values.base import Value
from fitnets.values.net import Net
from fitnets.values.updates import Dropout, ExponentialDecay, LinearDecay, LrScale, MaxNorm, Ramp

Family = Literal["paper", "modern"]
Method = Literal["backpropagation", "KD", "hints", "labels, labels", "labels, KD", "joint, labels", "joint, KD"]
METHODS: tuple[Method, ...] = ("backpropagation", "KD", "hints")
ALTERNATIVES: tuple[Method, ...] = ("labels, labels", "labels, KD", "joint, labels", "joint, KD")
"""Section 3.1: the labels guide layers 1..guided, before the whole student is trained or while it is."""
PAPER_EPOCHS = 500  # the maximum of each stage
PATIENCE = 100  # epochs without improvement that end a stage
STOP = {"patience": PATIENCE, "keep": "best"}


class Lengths(Value):
    """The numbers of epochs of a teacher and of both stages."""

    teacher: int
    stage1: int
    stage2: int


def data_of(name: str, family: Family) -> Data:
    """A data set's images, split and augmentation. The paper's splits hold out 10,000 images of CIFAR and MNIST."""
    modern = family == "modern"
    if name in ("cifar10", "cifar100"):
        # the text has flips; the released code also shifts by 8 pixels, the teachers' by 4
        return Data(name=name, val_fraction=0.2, flip=True, whiten=not modern, shift=4 if modern else 0)
    if name == "svhn":
        return Data(name=name, val_fraction=0.1, shift=2 if modern else 0, local_contrast=not modern)
    if name == "mnist":
        return Data(name=name, val_fraction=1 / 6, shift=1 if modern else 0)
    return Data(name=name, val_fraction=0.1, flip=modern, max_size=16)


def net_of(name: str, family: Family) -> Net:
    """A net by name; in the paper's family with the released code's biases."""
    return nets(Reading(mnist_biases="untied" if family == "paper" else "tied"))[name].net


def teacher(name: str, family: Family, epochs: int, precision: Precision = "float32") -> Trained:
    """The teacher of a data set, trained on the labels. `precision` is the modern family's: the paper's is float32."""
    net = nets()[f"{name}/teacher"].net
    if family == "paper":
        return _paper_teacher(name, net, epochs)
    training = Training(epochs=epochs, lr=2e-3, schedule="one-cycle", weight_decay=1e-2)
    return Trained(net=net, training=training, precision=precision)


def ensemble(teacher: Trained, members: int) -> Ensemble:
    """An ensemble of `members` teachers with different seeds (section 2.1); none is retrained, see `Ensemble`."""
    seeds = range(teacher.seed, teacher.seed + members)
    return Ensemble(members=tuple(teacher.changed(seed=seed, retrain=False) for seed in seeds))


def _paper_teacher(name: str, net: Net, epochs: int) -> Trained:
    """pylearn2's maxout recipes: SGD with a rising classical momentum, dropout, and max-norm constraints.

    CIFAR's is trained for 474 epochs on all training images; its accuracy is measured in a run before, on our split.
    """
    sgd = {"epochs": epochs, "optimizer": "sgd", "nesterov": False, "momentum": 0.5}
    norms = MaxNorm(convs=(0.9, 1.9365, 1.9365), dense=1.9, output=1.9365)
    if name == "aflw":
        return Trained(net=net, training=_aflw(epochs), init="uniform", init_range=0.05)
    if name == "mnist":
        ramp, fall = Ramp(to=0.7, by=250), ExponentialDecay()
        training = Training(**sgd, **STOP, lr=0.05, momentum_ramp=ramp, schedule=fall, max_norm=norms)
    elif name == "svhn":
        ramp, decay = Ramp(to=0.6, by=250), LinearDecay(factor=0.001, by=250)
        training = Training(
            **sgd, **STOP, lr=0.2, momentum_ramp=ramp, schedule=decay, lr_scale=LrScale(), max_norm=norms
        )
    else:
        ramp, decay = Ramp(to=0.65, by=250), LinearDecay(factor=0.01, by=500)
        training = Training(**sgd, lr=0.17, momentum_ramp=ramp, schedule=decay, lr_scale=LrScale(), max_norm=norms)
        training = training.changed(until=474 if epochs == PAPER_EPOCHS else None)
    whole = name in ("cifar10", "cifar100")
    return Trained(net=net, training=training, init="uniform", dropout=Dropout(), retrain=whole)


def student(net: Net, pair: Pair, system: str, family: Family, method: Method, lengths: Lengths) -> Recipe:
    """The recipe of a student by one method. Methods differ only in the losses and the initial weights of stage 2.

    `system` is the data set, or `figure2`: CIFAR-10's recipe without retraining on all training images.
    """
    recipe = (_paper if family == "paper" else _modern)(net, pair, system, lengths)
    variants: dict[Method, Callable[[Recipe], Recipe]] = {
        "backpropagation": Recipe.backpropagation,
        "KD": Recipe.without_hints,
        "hints": lambda with_hint: with_hint,
        "labels, labels": labels_then_labels,
        "labels, KD": labels_then_kd,
        "joint, labels": joint_labels,
        "joint, KD": joint_kd,
    }
    return variants[method](recipe)


def _modern(net: Net, pair: Pair, system: str, lengths: Lengths) -> Recipe:
    del system  # one recipe for all
    return Recipe(
        student=net,
        hint=Hint(hint=pair.hint, guided=pair.guided, regressor="linear", scale="r2"),
        stage1=Training(epochs=lengths.stage1, lr=3e-3, schedule="one-cycle"),
        stage2=Training(epochs=lengths.stage2, lr=5e-3, schedule="one-cycle"),
    )


def _paper(net: Net, pair: Pair, system: str, lengths: Lengths) -> Recipe:
    """Appendix A and the released files. RMSProp for MNIST as in the code: with the text's SGD it does not learn."""
    training, init_range, distill = _rmsprop(lengths.stage2), 0.005, Distill(tau_squared=False)
    if system == "mnist":
        norms = MaxNorm(convs=(0.9, 0.9, 1.9365, 1.9365, 1.9365, 1.9365))
        training = training.changed(lr=5e-4, lr_scale=None, max_norm=norms)
        if lengths.stage2 > 150:
            distill = distill.changed(schedule="paper", hold=1, saturate=150)
    elif system == "aflw":
        training, init_range = _aflw(lengths.stage2), 0.05
    return Recipe(
        student=net,
        hint=Hint(hint=pair.hint, guided=pair.guided, regressor="paper", scale="paper"),
        stage1=training.changed(epochs=lengths.stage1),
        distill=distill,
        stage2=training,
        init="uniform",
        init_range=init_range,
        retrain=system in ("cifar10", "cifar100"),
    )


def _rmsprop(epochs: int) -> Training:
    return Training(
        epochs=epochs,
        lr=5e-3,
        optimizer="rmsprop",
        schedule="constant",
        lr_scale=LrScale(),
        max_norm=MaxNorm(),
        **STOP,
    )


def _aflw(epochs: int) -> Training:
    """The learning rate is "0.001, decayed for the first 100 epochs until reaching 0.01": taken as a factor."""
    fall, ramp = LinearDecay(factor=0.01, by=100), Ramp(to=0.9, by=100)
    sgd = {"epochs": epochs, "optimizer": "sgd", "nesterov": False, "momentum": 0.1}
    return Training(**sgd, lr=1e-3, momentum_ramp=ramp, schedule=fall, keep="best")
