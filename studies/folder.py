"""Any image folder: `DIR/train/<class>/*` and `DIR/test/<class>/*`, or `DIR/<class>/*`.

python -m search.run folder --data DIR             --dry-run estimates the time on your machine
python -m search.run folder --data DIR --smoke     about a minute on two CPU cores

Classes, colours and size are read from the files; images over 64 pixels are scaled down. To change
the teacher, the limits or the augmentation, copy this file and run the copy by its path.
"""

from fitnets.config import Data, Training
from search.space import Space
from search.study import Staged, Stopping, Study

STUDY = Study(
    name="folder",
    data=Data(name="folder", shift=2, val_fraction=0.2),
    teacher=Staged(
        stages=((32, 32), (64, 64), (96, 96)),
        pieces=1,
        norm="batch",
        training=Training(epochs=30, lr=3e-3, batch=64, schedule="one-cycle", weight_decay=1e-2),
    ),
    space=Space(stages=3, depth=(1, 3), base_width=(4, 24), multiplier=(1.0, 3.0), multiple_of=4),
    stage1=Training(epochs=8, lr=3e-3, batch=64, schedule="one-cycle"),
    stage2=Training(epochs=20, lr=3e-3, batch=64, schedule="one-cycle"),
    stopping=Stopping(),
    trials=30,
)
