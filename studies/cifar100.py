"""CIFAR-100: 50,000 32x32 colour images of a hundred classes, 10,000 of them for validation.

python -m search.run cifar100 --data DIR           an evening on two CPU cores
python -m search.run cifar100 --data DIR --smoke   about a minute on two CPU cores

Otherwise as `cifar10`.
"""

from fitnets.config import Data
from search.study import find_study

STUDY = find_study("cifar10").changed(
    name="cifar100", data=Data(name="cifar100", shift=2, flip=True, val_fraction=0.2), min_accuracy=0.4
)
