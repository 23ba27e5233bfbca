"""The built-in default: scikit-learn's 1,797 real 8x8 digits, without a download.

python -m search.run digits          30 students, teacher included: see the README for time and result
"""

from fitnets.config import Data, Training
from search.space import Space
from search.study import Staged, Stopping, Study

RATES = (1e-3, 3e-2)  # with a lower rate, a student learns little in so few steps

STUDY = Study(
    name="digits",
    data=Data(name="digits", shift=1, val_fraction=0.285),
    teacher=Staged(
        stages=((32, 32), (64, 64)),
        training=Training(epochs=80, lr=2e-3, batch=32, schedule="one-cycle", weight_decay=0.3),
    ),
    space=Space(stages=2, depth=(1, 5), base_width=(4, 16), multiplier=(1.0, 3.0), multiple_of=4, lr1=RATES, lr2=RATES),
    stage1=Training(epochs=20, lr=3e-3, batch=64, schedule="one-cycle"),
    stage2=Training(epochs=60, lr=3e-3, batch=64, schedule="one-cycle"),
    max_params=40_000,
    stopping=Stopping(),
    trials=30,
)
