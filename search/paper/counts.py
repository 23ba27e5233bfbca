"""The cost of the paper's nets: as counted here, beside what the paper prints. No torch."""

from rich.console import Console
from rich.table import Table

from fitnets.paper.nets import BUDGETS, PaperNet, Reading, nets
from fitnets.values.base import Value
from fitnets.values.net import Net
from search.read.published import Published, published

ALTERNATIVES = {
    "fc 5": ("the dense layer in 5 pieces, as text and code have it", Reading(dense_pieces=5)),
    "Table 7": ("block 1 of FitNet 3 as Table 7 lists it", Reading(fitnet3="table 7")),
    "Table 7, fc 5": ("both of these", Reading(fitnet3="table 7", dense_pieces=5)),
    "4 pieces": ("MNIST's last convolutions in 4 pieces, as the code has them", Reading(mnist_pieces=4)),
    "appendix": ("SVHN's student as the appendix names it", Reading(svhn_student="fitnet4")),
}
"""Other readings of the paper, which its printed counts rule out."""
FEWER = {"aflw/fitnet1": 15.0, "aflw/fitnet2": 2.5}
"""How many times fewer multiply-adds than the teacher the paper claims (section 3.4); it prints no counts there."""


class Count(Value):
    """One net's row. `printed` fields are as the paper prints them, "" where it does not."""

    name: str
    layers: int
    pair: str
    """`guided<-hint, the regressor's kernel`."""
    weights: int
    printed_params: str
    macs: int
    printed_macs: str
    agrees: bool | None
    """Whether both counts round to the printed ones; None where nothing is printed."""
    note: str
    """How far the count is from a budget or a ratio, and what the paper leaves open."""


def counts(reading: Reading = Reading()) -> list[Count]:  # noqa: B008 (frozen)
    """All nets in the paper's order."""
    found = nets(reading)
    return [_count(net, found) for net in found.values()]


def _count(one: PaperNet, found: dict[str, PaperNet]) -> Count:
    printed = _printed(one.name)
    params, macs = (printed.printed_params, printed.printed_macs) if printed else (None, None)
    agreements = [text.agrees(ours) for text, ours in ((params, one.weights), (macs, one.macs)) if text is not None]
    budget = next((name for name in BUDGETS if one.name.endswith(f"-{name}")), "")
    notes = [one.doubt] if one.doubt else []
    if budget:
        notes.insert(0, f"the budget, not a count: {one.macs / BUDGETS[budget] - 1:+.0%}")
    if one.name in FEWER:
        ours = found["aflw/teacher"].macs / one.macs
        notes.insert(0, f"{ours:.1f} times fewer multiply-adds than its teacher; the paper says {FEWER[one.name]:g}")
    return Count(
        name=one.name,
        layers=one.net.depth,
        pair=_pair(one, found),
        weights=one.weights,
        printed_params=f"~{params.text}" if params else "",
        macs=one.macs,
        printed_macs=f"~{macs.text}" if macs else f"~{budget}" if budget else "",
        agrees=all(agreements) if agreements else None,
        note="; ".join(notes),
    )


def _printed(name: str) -> Published | None:
    rows = published(name.split("/")[0])
    return next((row for row in rows if row.of.name == name), None)


def _pair(one: PaperNet, found: dict[str, PaperNet]) -> str:
    if one.pair is None:
        return ""
    data = one.name.split("/")[0]
    teacher = found["cifar10/teacher" if data == "figure2" else f"{data}/teacher"]
    guided, hint = _rows(one.net, one.pair.guided), _rows(teacher.net, one.pair.hint)
    kernel = max(guided - hint, 0) + 1  # a hint map that is larger is pooled down to the student's
    return f"{one.pair.guided}<-{one.pair.hint}, {kernel}x{kernel}"


def _rows(net: Net, layer: int) -> int:
    return net.maps()[layer - 1][1][1]


def show(console: Console) -> None:
    """Print every net, then the interpretations that the counts rule out."""
    notes: list[str] = []
    console.print(_table("The paper's nets: parameters (weights) and multiply-adds", counts(), notes))
    for number, note in enumerate(notes, start=1):
        console.print(f"[{number}] {note}", markup=False)
    seen = {(count.name, count.weights, count.macs) for count in counts()}
    others: list[Count] = []
    for short, (_, reading) in ALTERNATIVES.items():
        for count in counts(reading):
            row = (count.name, count.weights, count.macs)
            if row not in seen and not count.name.startswith("figure2"):
                seen.add(row)
                others.append(count.changed(name=f"{count.name}, {short}", note=""))
    console.print(_table("\nOther interpretations, which the printed counts rule out", others, []))
    for short, (what, _) in ALTERNATIVES.items():
        console.print(f"  {short}: {what}", markup=False)


def _table(title: str, rows: list[Count], notes: list[str]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    headings = ("net", "layers", "hint", "parameters", "paper", "mult-adds", "paper", "agrees")
    for heading in headings:
        is_text = heading in ("net", "hint", "agrees")
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=heading != "net")
    for row in rows:
        verdict = {True: "yes", False: "no", None: "-"}[row.agrees]
        if row.note:
            if row.note not in notes:
                notes.append(row.note)
            verdict += rf" \[{notes.index(row.note) + 1}]"
        costs = (f"{row.weights:,}", row.printed_params, f"{row.macs:,}", row.printed_macs)
        table.add_row(row.name, str(row.layers), row.pair, *costs, verdict)
    return table
