"""Any image folder: `DIR/train/<class>/*` and `DIR/test/<class>/*`, or `DIR/<class>/*`.

python -m search.run folder --data DIR             --dry-run estimates the time on your machine
python -m search.run folder --data DIR --smoke     about a minute on two CPU cores

Classes, colours and size are read from the files; images over 64 pixels are scaled down. To change
the teacher, the limits or the augmentation, copy this file and run the copy by its path.
"""

from fitnets.config import Data, Training
from search.space import Space
from search.study import Staged, Stopping, Study

FAST = Training(epochs=12, lr=0.05, batch=64, optimizer="muon", schedule="linear")

STUDY = Study(
    name="folder",
    data=Data(name="folder", shift=2, val_fraction=0.2),
    teacher=Staged(
        stages=((32, 32), (64, 64), (96, 96)),
        pieces=1,
        norm="batch",
        training=FAST.changed(epochs=20),
    ),
    space=Space(
        stages=3,
        depth=(1, 3),
        base_width=(4, 32),
        multiplier=(1.0, 3.0),
        multiple_of=4,
        pieces=1,
        norm="batch",
        lr1=(0.01, 0.1),
        lr2=(0.02, 0.1),
    ),
    stage1=FAST.changed(epochs=4),
    stage2=FAST,
    stopping=Stopping(),
    trials=30,
)
