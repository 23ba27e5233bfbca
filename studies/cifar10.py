"""CIFAR-10: 50,000 32x32 colour images of ten classes, 10,000 of them for validation, as in the paper.

python -m search.run cifar10 --data DIR            an evening on two CPU cores: see docs/cifar10.md
python -m search.run cifar10 --data DIR --smoke    about a minute on two CPU cores

Thin students of four stages with batch normalisation and shortcuts, smaller than the paper's FitNet 1, trained fast:
filters by Muon, few epochs, and a teacher of moderate size. `cifar10_paper` has the paper's space. The first student
was designed by hand, close to FitNet 1's parameters and multiply-adds: what the search finds can be held against it.
"""

from fitnets.config import Data, Distill, Hint, Training
from search.space import Space
from search.study import Named, Staged, Study

FAST = Training(epochs=8, lr=0.07, batch=250, optimizer="muon", schedule="linear")
SMALL = ((24, 24, 24), (40, 40, 40), (64, 64, 64), (72, 72))

STUDY = Study(
    name="cifar10",
    data=Data(name="cifar10", shift=2, flip=True, val_fraction=0.2),
    teacher=Staged(
        stages=((64,), (64, 192), (192, 256), (256,)),
        pieces=1,
        norm="batch",
        precision="auto",
        own_views=True,
        training=FAST.changed(epochs=17, lr=0.1),
    ),
    space=Space(
        stages=4,
        depth=(1, 3),
        base_width=(8, 32),
        multiplier=(1.0, 8.0),
        multiple_of=8,
        pieces=1,
        norm="batch",
        shortcuts="either",
        tau=(1.0, 4.0),
        lambda_start=(1.0, 8.0),
        lambda_ratio=(0.1, 1.0),
        lr1=(0.04, 0.1),
        lr2=(0.045, 0.09),  # narrow: a larger rate looks bad at a rung and catches up later (bench/LOG.md)
    ),
    stage1=FAST.changed(epochs=2),
    stage2=FAST,
    first=(Named(name="small", stages=SMALL, hint=Hint(hint=4, guided=6), distill=Distill(tau=2.0)),),
    max_params=400_000,
    max_macs=30_000_000,
    min_accuracy=0.85,
    stopping=None,  # eight epochs are too few: rungs stopped students that end on the front (bench/LOG.md)
    trials=60,
)
