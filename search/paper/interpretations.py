"""Which reading is taken where the paper's text, tables and code disagree or are silent: for people, by system.

The reasons are in docs/paper.md.
"""

from fitnets.config import Data

SOFT = "the student is softened in the KD term (Eq. 2); the released code in effect does not soften it"
DENSE = "the fully connected maxout layer has 2 pieces, as all printed counts need; text and code: 5"
HINT = (
    "the hint loss is summed over the map (Eq. 3); the released code sums over its rows and takes the mean of the rest"
)
LAMBDA = "lambda falls linearly over all of stage 2 (text); the released code holds it to epoch 5 and is done by 400"
RATES = "convolutions learn at 0.05 of the rate (the released CIFAR files); the text has no such factor"
MAXOUT = (DENSE, SOFT, HINT, LAMBDA, RATES)
TAKEN: dict[str, tuple[str, ...]] = {
    "mnist": (
        "students are trained by RMSProp (the released code); the text: SGD, which at its rate moves nothing",
        "the last convolutions have 2 pieces (text, counts); the released code: 4",
        "the student has a bias for every position (the released code), which no count holds",
        SOFT,
        HINT,
        "lambda falls from 4 to 1 by epoch 150 or the end of stage 2 (text); the released code: to 0, from epoch 5 on",
    ),
    "cifar10": (
        *MAXOUT,
        "block 1 of FitNet 3 is 64 64 64 64, as Table 5's counts need; Table 7 lists 32 48 64 64",
    ),
    "cifar100": (*MAXOUT, "epochs are found on 80% of the images first; the paper trains on all for CIFAR-10's epochs"),
    "svhn": (
        *MAXOUT,
        "the student is FitNet 3 of Table 7, 13 layers (section 3.2); the appendix: FitNet 4",
        "the hint pair is guessed, 7 <- 2: the paper does not state it",
    ),
    "aflw": (
        "convolutions without pads, colour images, lambda from 4 to 1: the paper states none of them",
        "the rate falls to a hundredth by epoch 100; the text: 0.001, decayed for 100 epochs until reaching 0.01",
        SOFT,
        HINT,
    ),
    "figure2": (*MAXOUT, "the nets of 11 layers are hinted at layer 7 (Table 6); Table 7: at layer 6"),
}
"""Readings about nets and trainings."""
_CIFAR = (
    "views are flipped (text); the released code also shifts them, the student's by 8 pixels, the teacher's by 4",
    "a fifth of each class, drawn at random, is for validation; the released code: the last 10,000 images",
    "ZCA is fitted on the other four fifths, and kept for the training on all images; pylearn2's: on all of them",
)
_SIXTH = "a sixth of each class, drawn at random, is for validation; the paper: 10,000 images"
IMAGES: dict[str, tuple[str, ...]] = {
    "mnist": (_SIXTH,),
    "cifar10": _CIFAR,
    "cifar100": _CIFAR,
    "svhn": ("a tenth of each class is for validation; the paper: 400 images a class, and 200 of the extra ones",),
    "aflw": ("a tenth of each class of the training images is for validation; the paper does not say how many are",),
    "figure2": _CIFAR,
    "small figure2": (_SIXTH, "the images are standardised and not flipped; CIFAR's are contrast-normalised, whitened"),
}
"""Readings about images, their split and their views, where the paper's recipe has its own."""


def seen(data: Data) -> str:
    """For people: how the images are preprocessed and augmented."""
    kind = "GCN and ZCA" if data.whiten else "local contrast normalisation" if data.local_contrast else "standardised"
    shifts = [f"shifts by up to {data.shift}"] if data.shift else []
    return ", ".join([kind, *shifts, *(["flips"] if data.flip else [])])
