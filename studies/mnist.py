"""MNIST: 60,000 28x28 digits, 10,000 of them for validation.

python -m search.run mnist --data DIR              --dry-run estimates the time on your machine
python -m search.run mnist --data DIR --smoke      about a minute on two CPU cores
"""

from fitnets.config import Data, Training
from search.space import Space
from search.study import Staged, Stopping, Study

STUDY = Study(
    name="mnist",
    data=Data(name="mnist", shift=2, val_fraction=1 / 6),
    teacher=Staged(
        stages=((32, 32), (64, 64), (96,)),
        training=Training(epochs=12, lr=3e-3, schedule="one-cycle", weight_decay=1e-2),
    ),
    space=Space(stages=3, depth=(1, 3), base_width=(4, 16), multiplier=(1.0, 3.0), multiple_of=4),
    stage1=Training(epochs=3, lr=3e-3, schedule="one-cycle"),
    stage2=Training(epochs=8, lr=3e-3, schedule="one-cycle"),
    max_params=100_000,
    max_macs=10_000_000,
    stopping=Stopping(),
    trials=40,
)
