"""CIFAR-10: a few students trained to the end of what they can, for the last points of accuracy.

python -m search.run cifar10_long --data DIR --like cifar10 --like-count 2    after `cifar10`: see docs/cifar10.md
python -m search.run cifar10_long --data DIR --smoke                          about a minute on two CPU cores

The recipe of `cifar10` with six times its epochs, on the views of 16 of them, a teacher of twice its epochs, and 5,000
images more to train on. The two students to begin with were designed by hand: one within the paper's FitNet 1 (250k
parameters, 30M multiply-adds), one within FitNet 2 (862k, 108M). The sampler is not meant for so few trials: bring it
the front of `cifar10`.
"""

from fitnets.config import Data, Distill, Hint
from search.study import Named, Staged, find_study

CIFAR10 = find_study("cifar10")
TEACHER = CIFAR10.teacher
assert isinstance(TEACHER, Staged)

SMALL = ((24, 24, 24), (40, 40, 40), (64, 64, 64), (72, 72))
LARGE = ((32, 32), (64, 64, 64), (96, 96, 96), (120, 120))
HINT = Hint(hint=4, guided=6)
DISTILL = Distill(tau=2.0)

STUDY = CIFAR10.changed(
    name="cifar10_long",
    data=Data(name="cifar10", shift=2, flip=True, plans=16, val_fraction=0.1),
    teacher=TEACHER.changed(training=TEACHER.training.changed(epochs=20)),
    stage2=CIFAR10.stage2.changed(epochs=48),
    max_params=862_000,
    max_macs=108_000_000,
    first=(
        Named(name="small", stages=SMALL, hint=HINT, distill=DISTILL),
        Named(name="large", stages=LARGE, hint=HINT, distill=DISTILL),
    ),
    stopping=None,
    trials=4,
)
