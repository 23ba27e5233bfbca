"""Counts images that are equal pixel for pixel: many of them suggest a mistake in the making of the data set.

Shape suffixes: N images.
"""

from hashlib import blake2b

import numpy as np

from fitnets.errors import InputError
from fitnets.images.printable import counted, listed
from fitnets.images.raw import Raw

NOTED_SHARE = 0.01  # of the images, that repeat another one; ordinary data sets have fewer
SEVERAL = 5  # classes that a note names
ON_WHITE = "transparent parts are shown on white"


def digests(raw: Raw) -> list[bytes]:
    """A digest of every image's pixels."""
    return [blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() for image in raw.pixels_NHWC]


def notes(raw: Raw) -> tuple[str, ...]:
    """A line if more than NOTED_SHARE of the images repeat another one, and a line if whole classes are equal.

    Raises InputError when all images are equal: nothing can be learnt from them.
    """
    found = digests(raw)
    total, different = len(found), len(set(found))
    if different == 1 and total > 1:
        raise InputError(
            f"all {total:,} training images are equal, pixel for pixel, so that nothing can be learnt from them: look "
            f"at the files, and save them again with visible content ({ON_WHITE})."
        )
    lines: list[str] = []
    of_class: dict[int, list[bytes]] = {}
    for digest, label in zip(found, raw.label_N.tolist(), strict=True):
        of_class.setdefault(label, []).append(digest)
    equal = [f"`{raw.classes[label]}`" for label, own in of_class.items() if len(own) > 1 and len(set(own)) == 1]
    if equal:
        lines.append(f"all training images of {listed(equal, SEVERAL)} are equal, pixel for pixel ({ON_WHITE}).")
    repeated = total - different
    if repeated > NOTED_SHARE * total:
        lines.append(
            f"{counted(repeated, 'training image')} of {total:,} ({repeated / total:.0%}) repeat another one, pixel "
            "for pixel: those in the training and in the validation part make its accuracy too high."
        )
    return tuple(lines)


def overlap(known: set[bytes], found: list[bytes], part: str) -> tuple[str, ...]:
    """A line if images of the validation or test part also occur in the parts read before."""
    number = sum(digest in known for digest in found)
    if not number:
        return ()
    those = "training" if part == "validation" else "training or validation"
    return (
        f"{number:,} of {counted(len(found), f'{part} image')} ({number / len(found):.1%}) "
        f"{'is' if number == 1 else 'are'} among the {those} images, pixel for pixel: the {part} accuracy will be too "
        "high by them.",
    )
