"""SVHN: 73,257 32x32 colour house-number digits, a fifth of them for validation; never mirrored.

python -m search.run svhn --data DIR               a night on two CPU cores: see --dry-run
python -m search.run svhn --data DIR --smoke       about a minute on two CPU cores

Otherwise as `cifar10`.
"""

from fitnets.config import Data
from search.study import find_study

STUDY = find_study("cifar10").changed(name="svhn", data=Data(name="svhn", shift=2, val_fraction=0.2), min_accuracy=0.9)
