"""CIFAR-10 in the space of the paper's FitNets 1 to 4 (maxout, up to 3M parameters), which are trained first.

python -m search.run cifar10_paper --data DIR            days on a few cores, for GPUs; see --dry-run
python -m search.run cifar10_paper --data DIR --smoke    about a minute on two CPU cores

The teacher is a modern one (ReLU, batch normalisation), and so are the training settings; `python -m search.paper` has
the paper's own. `cifar10` is the study for a student to ship.
"""

from fitnets.config import Data, Hint, Training
from fitnets.paper.nets import TABLE_7
from fitnets.values.net import Dense
from search.space import Space
from search.study import Named, Staged, Stopping, Study

FC = (Dense(width=500, pieces=5),)

STUDY = Study(
    name="cifar10_paper",
    data=Data(name="cifar10", shift=4, flip=True, val_fraction=0.2),
    teacher=Staged(
        stages=((64, 64), (128, 128), (256, 256, 256)),
        pieces=1,
        norm="batch",
        training=Training(epochs=60, lr=0.1, optimizer="sgd", weight_decay=5e-4, schedule="one-cycle"),
    ),
    space=Space(stages=3, depth=(2, 6), base_width=(8, 48), multiplier=(1.0, 4.0), multiple_of=8),
    stage1=Training(epochs=20, lr=3e-3, schedule="one-cycle", weight_decay=1e-2),
    stage2=Training(epochs=60, lr=3e-3, schedule="one-cycle", weight_decay=1e-2),
    max_params=3_000_000,
    max_macs=400_000_000,
    first=(
        Named(name="FitNet 1", stages=TABLE_7["fitnet1"], dense=FC, hint=Hint(hint=4, guided=6)),
        Named(name="FitNet 2", stages=TABLE_7["fitnet2"], dense=FC, hint=Hint(hint=4, guided=6)),
        Named(name="FitNet 3", stages=TABLE_7["fitnet3"], dense=FC, hint=Hint(hint=4, guided=8)),
        Named(name="FitNet 4", stages=TABLE_7["fitnet4"], dense=FC, hint=Hint(hint=4, guided=11)),
    ),
    stopping=Stopping(),
    trials=100,
)
