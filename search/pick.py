"""`python -m search.pick STUDY --max-params 10k`: the student for a budget, as a folder to ship."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fitnets.errors import InputError
from fitnets.values.base import sha256
from search import cli
from search.read.budget import Budget, Miss, finished, fitting, nearest_miss
from search.read.candidates import Candidate, Snapshot
from search.read.reader import read
from search.ship import latencies
from search.ship.first_fit import File, Search
from search.storage.address import storage_url
from search.units import format_count, format_stages, parse_count
from search.workers.machine import cores

if TYPE_CHECKING:
    from search.ship.shipper import Exported, Shipper

Count = Annotated[str | None, typer.Option(metavar="COUNT", help="As 250k, 0.25M, 30M or 250000.")]


@cli.app
def main(
    study: cli.StudyName,
    max_params: Count = None,
    max_macs: Count = None,
    max_latency_ms: Annotated[
        float | None, typer.Option(help="Milliseconds an image on this machine, one CPU thread, p50.")
    ] = None,
    max_size_kb: Annotated[float | None, typer.Option(help="Of the ONNX file, in kB of 1,000 bytes.")] = None,
    min_accuracy: Annotated[float | None, typer.Option(help="On the validation images, 0 to 1.")] = None,
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("picked"),
    runs: cli.Runs = Path("runs"),
    storage: cli.Storage = None,
    name: cli.Name = None,
) -> None:
    """Export the most accurate student within a budget: ONNX, safetensors, recipe, card and README."""
    budget = Budget(
        max_params=parse_count(max_params, "--max-params"),
        max_macs=parse_count(max_macs, "--max-macs"),
        max_latency_ms=max_latency_ms,
        max_size_kb=max_size_kb,
        min_accuracy=min_accuracy,
    )
    url = storage_url(runs, storage)
    snapshot = read(url, cli.stored_name(study, name))
    if not finished(snapshot.candidates):
        raise InputError(f"the study `{snapshot.study}` has no trained student yet: run it first.")
    within = fitting(snapshot.candidates, budget.known_before_export())
    if not within:
        raise InputError(_nothing(snapshot, nearest_miss(snapshot.candidates, budget)))
    console = Console(highlight=False)
    with console.status("exporting ...") as status:
        from search.ship.shipper import Shipper  # here, because torch loads slowly: wrong input is refused before

        shipper = Shipper(snapshot, runs, status.update)
        shipper.ready(out)
        files = _Files(shipper, budget, within)
        chosen = files.chosen()
        if chosen is None:
            every = latencies.command(snapshot.study, runs, url, every=True)
            raise InputError(files.nothing(every))
        limits = budget.model_dump(mode="json", exclude_none=True)
        card = shipper.write(chosen, out, {"by": "the highest validation accuracy within the budget", "budget": limits})
    candidate = chosen.candidate
    accuracy, teacher = card["accuracy"], card["teacher"]
    if budget != budget.known_before_export():
        console.print(files.effort(), soft_wrap=True)
    if chosen.retrained:
        console.print(_trained_again(chosen, runs), markup=False, soft_wrap=True)
    console.print(f"trial {candidate.trial}: {format_stages(candidate.recipe.student.stages)}", markup=False)
    console.print(
        f"  {format_count(candidate.cost.params)} parameters, {format_count(candidate.cost.macs)} multiply-adds, ",
        end="",
    )
    console.print(f"{chosen.size_kb:.0f} kB, {chosen.latency.p50_ms:.3g} ms an image (p50, one thread)")
    console.print(f"  validation accuracy {accuracy['validation']['accuracy']:.2%} (what the search chose by)")
    against = f", the teacher's {teacher['test_accuracy']:.2%}" if teacher["test_accuracy"] is not None else ""
    console.print(f"  test accuracy {accuracy['test']['accuracy']:.2%}{against}")
    tested = accuracy["test"]["students_tested_in_this_study"]
    if tested > 1:
        console.print(f"  {tested} students of this study have seen the test images: the best of them is optimistic.")
    console.print(f"written to {out}/: {', '.join(sorted(p.name for p in out.iterdir()))}", soft_wrap=True)


class _Files:
    """The students' exported files: what is known of them on this machine, and the last one that was made."""

    def __init__(self, shipper: "Shipper", budget: Budget, within: list[Candidate]):
        self.shipper, self.within = shipper, within
        self.load, self.busy = latencies.load()
        stored = latencies.of_device(shipper.runs, shipper.snapshot.study, latencies.device())
        self.known = {c.trial: _file(stored[w]) for c in within if (w := _weights(c)) in stored}
        self.before = len(self.known)
        self.made: list[int] = []
        self.last: Exported | None = None
        self.search = Search(budget, self.known, lambda c: self._export(c, shipper.sketched))

    def chosen(self) -> "Exported | None":
        """The most accurate student whose file is within every limit, by a timing of now; None where there is none."""
        while (candidate := self.search.first(self.within)) is not None:
            if self.last is None or self.last.candidate is not candidate or not self.last.weights:
                self._export(candidate, self.shipper.exported)  # a stored timing may be old
            if not self.search.excess(candidate):
                return self.last
        return None

    def effort(self) -> str:
        """How many files were made to find the student."""
        number, text = len(set(self.made)), ""
        if self.busy and self.search.budget.max_latency_ms is not None:
            text = f" This machine was busy (load {self.load:.1f} on {cores()} cores): no timing was stored."
        known = f"{self.before} were timed on this machine before."
        return f"exported {number} of {len(self.within)} students; {known}{text}"

    def nothing(self, every: str) -> str:
        """Why there is no student; `every` is the command that times them all."""
        text = _nothing(self.shipper.snapshot, self.search.nearest(self.within))
        left = len(self.search.unknown(self.within))
        rule = (
            f" {left} others were not exported, because those with the fewest multiply-adds do not fit either; "
            f"to be certain, time them with `{every}`."
        )
        return f"{text} ({self.effort()}{rule if left else ''})"

    def _export(self, candidate: Candidate, how: "Callable[[Candidate], Exported]") -> None:
        self.shipper.progress(f"exporting trial {candidate.trial} ({len(self.made)} exported before) ...")
        self.last = how(candidate)
        self.made.append(candidate.trial)
        measured = self.last.measured(self.load)
        self.known[candidate.trial] = _file(measured)
        if self.search.budget.max_latency_ms is not None and not self.busy:
            latencies.add(self.shipper.runs, self.shipper.snapshot.study, candidate, measured)


def _weights(candidate: Candidate) -> str:
    assert candidate.outcome is not None
    return candidate.outcome.weights_sha256


def _file(measured: latencies.Measured) -> File:
    size = measured.file_bytes
    return File(latency_ms=measured.p50_ms, size_kb=None if size is None else size / 1000)


def _trained_again(chosen: "Exported", runs: Path) -> str:
    outcome = chosen.candidate.outcome
    same = outcome is not None and sha256(chosen.weights) == outcome.weights_sha256
    became = "bit for bit the same" if same else "but not the same: what follows was measured on the new weights"
    return (
        f"note: the weights of trial {chosen.candidate.trial} were not in {runs / 'store'} any more (deleted, or "
        f"removed for --max-disk): it was trained again, {became}."
    )


def _nothing(snapshot: Snapshot, miss: Miss | None) -> str:
    assert miss is not None, "there are finished students"
    candidate, limits = miss
    assert candidate.outcome is not None
    return (
        f"no student of `{snapshot.study}` is within the budget. The nearest is trial {candidate.trial} "
        f"({candidate.outcome.val_accuracy:.2%}): {'; '.join(limit.text() for limit in limits)}. "
        "Loosen that limit, or train more students."
    )


if __name__ == "__main__":
    sys.exit(main())
