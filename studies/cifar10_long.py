"""CIFAR-10: a few students trained to the end of what they can, for the last points of accuracy.

python -m search.run cifar10_long --data DIR --like cifar10 --like-count 2    after `cifar10`: see docs/cifar10.md
python -m search.run cifar10_long --data DIR --smoke                          about a minute on two CPU cores

The recipe of `cifar10` with ten times its epochs, on the views of 16 of them, a teacher of 40 epochs, and 5,000
images more to train on. The two students to begin with were designed by hand: that of `cifar10`, within the paper's
FitNet 1 (250k parameters, 30M multiply-adds), and one within FitNet 2 (862k, 108M). The sampler is not meant for so few
trials: bring it the front of `cifar10`.
"""

from fitnets.config import Data
from search.study import Named, Staged, find_study

CIFAR10 = find_study("cifar10")
TEACHER = CIFAR10.teacher
assert isinstance(TEACHER, Staged)

SMALL = CIFAR10.first[0]
LARGE = ((32, 32), (64, 64, 64), (96, 96, 96), (120, 120))

STUDY = CIFAR10.changed(
    name="cifar10_long",
    data=Data(name="cifar10", shift=2, flip=True, plans=16, val_fraction=0.1),
    teacher=TEACHER.changed(training=TEACHER.training.changed(epochs=40)),
    stage2=CIFAR10.stage2.changed(epochs=80),
    max_params=862_000,
    max_macs=108_000_000,
    first=(SMALL, Named(name="large", stages=LARGE, hint=SMALL.hint, distill=SMALL.distill)),
    trials=4,
)
