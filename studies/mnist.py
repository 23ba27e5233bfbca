"""MNIST: 60,000 28x28 digits, 10,000 of them for validation.

python -m search.run mnist --data DIR              --dry-run estimates the time on your machine
python -m search.run mnist --data DIR --smoke      about a minute on two CPU cores
"""

from fitnets.config import Data, Training
from search.space import Space
from search.study import Staged, Stopping, Study

FAST = Training(epochs=6, lr=0.1, batch=250, optimizer="muon", schedule="linear")

STUDY = Study(
    name="mnist",
    data=Data(name="mnist", shift=2, val_fraction=1 / 6),
    teacher=Staged(
        stages=((32, 32), (64, 64), (96,)),
        pieces=1,
        norm="batch",
        own_views=True,
        training=FAST.changed(epochs=8),
    ),
    space=Space(
        stages=3,
        depth=(1, 3),
        base_width=(4, 24),
        multiplier=(1.0, 3.0),
        multiple_of=4,
        pieces=1,
        norm="batch",
        lr1=(0.02, 0.2),
        lr2=(0.04, 0.2),
    ),
    stage1=FAST.changed(epochs=1),
    stage2=FAST,
    max_params=100_000,
    max_macs=10_000_000,
    stopping=Stopping(),
    trials=40,
)
