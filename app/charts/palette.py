"""Colours of both themes: Okabe and Ito's, safe for colour-blind readers. Shape always tells the same as colour."""

from dataclasses import dataclass

import streamlit as st


@dataclass(frozen=True, slots=True)
class Palette:
    """What each colour stands for."""

    ours: str
    """Students on the front, and those that fit. Filled circles."""
    paper: str
    """The paper's nets. Diamonds."""
    chosen: str
    """The selected student. A ring."""
    knee: str
    """The best balance. A star."""
    best: str
    """The best student that fits. A ring with a dot."""
    over: str
    """Over the budget. Hollow."""
    failed: str
    stopped: str
    """Students that were stopped early. Dotted."""
    cloud: str
    """Students that are not on the front."""
    ink: str
    on_block: str
    """Text on a block of `ours` or `paper`."""
    faint: str
    """Grid lines."""
    mistakes: str
    """Most mistaken classes; dark enough for white text."""
    shade: str
    """The area over the budget."""
    series: tuple[str, ...]
    scale: tuple[tuple[float, str], ...]
    """From the least to the most accurate, away from the background; blue to yellow, as Cividis."""


LIGHT = Palette(
    ours="#0072B2",
    paper="#B85C00",
    chosen="#A6407F",
    knee="#00795A",
    best="#C24E00",
    over="#6B7886",
    failed="#C24E00",
    stopped="#7B5EA7",
    cloud="#8FB4CC",
    ink="#1B2530",
    on_block="#FFFFFF",
    faint="#E1E6EB",
    mistakes="#A6407F",
    shade="rgba(107,120,134,0.13)",
    series=("#0072B2", "#B85C00", "#00795A", "#A6407F"),
    scale=((0.0, "#E6D98C"), (0.5, "#9B9A84"), (1.0, "#08306B")),
)
DARK = Palette(
    ours="#56B4E9",
    paper="#E69F00",
    chosen="#F0E442",
    knee="#2CC79B",
    best="#FF8A3D",
    over="#9AA5B1",
    failed="#FF8A3D",
    stopped="#B79CED",
    cloud="#5B8FB5",
    ink="#E6EBF0",
    on_block="#0B1117",
    faint="#2A3540",
    mistakes="#A6407F",
    shade="rgba(154,165,177,0.14)",
    series=("#56B4E9", "#E69F00", "#2CC79B", "#F0A5D0"),
    scale=((0.0, "#33527A"), (0.5, "#8E9384"), (1.0, "#FDE737")),
)


def current() -> Palette:
    """The palette of the theme that the browser shows."""
    return DARK if st.context.theme.type == "dark" else LIGHT
