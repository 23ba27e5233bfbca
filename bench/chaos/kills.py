"""A real study, killed at random moments and resumed by the same command, compared with an undisturbed one.

    python -m bench.chaos [--kills 40] [--workers 1] [--seed 0] [--set digits|mnist] [--data DIR]

Driver, worker process and Ray node (its raylet) are killed in turn, by SIGKILL: mostly while a student trains,
sometimes at any moment. After each kill the store and the logs are read: no epoch that a checkpoint contains by then
may be trained again. Students are stopped early, and every verdict must be the rule's. With one worker the sampler has
the same history in both studies, so the studies must be equal, trial by trial, their verdicts too. With several, it
depends on chance which trial ends first and so what is drawn next: then every recipe is trained again by itself,
undisturbed, and must result in the same weights. Exit code 1 if anything is wrong.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from itertools import zip_longest
from pathlib import Path

from bench.chaos.victim import Command
from bench.hardware import table, versions
from fitnets.disk.store import Store
from fitnets.training.checkpoints import KIND
from search.driver.flight import ATTEMPTS
from search.driver.stopping import Peer, Rungs
from search.read.candidates import Candidate, marked
from search.study import Study, find_study
from search.workers.logs import trained_epochs
from search.workers.trainer import Trainer

KINDS = ("driver", "worker", "node")
TRAINING_SECONDS = 3.0  # the longest time between a new epoch and a kill
ANY_MOMENT = 0.2  # how often a kill comes at any moment instead, also during the start
ANY_SECONDS = 12.0
# A trial fails, as it should, when ATTEMPTS starts in a row got no epoch further: after a kill at any moment, so many
# wait for a new epoch.
PATIENT = ATTEMPTS
STALLED_SECONDS = 400.0  # without an epoch for this long, the search counts as stalled
STAGE1_EPOCHS, STAGE2_EPOCHS = 15, 45  # of 0.05 s each; checkpoints are written once a second
Place = tuple[str, int]  # stage and epoch


class Wrong(RuntimeError):
    """The study does not continue, or ended in a way that no kill explains."""


class Witness:
    """What was observed after each kill, and must hold from then on."""

    def __init__(self, command: Command):
        self.command, self.store = command, Store(command.runs / "store")
        self.floors: dict[int, list[tuple[int, Place]]] = {}
        """For each trial, at each kill: the number of logged epochs, and the last one that a checkpoint contained."""
        self.ends: dict[int, tuple[float | None, int]] = {}
        """For each finished trial: when Optuna was told its result, and how many epochs its log had."""
        self.told_twice: set[int] = set()

    def look(self) -> None:
        """Read the current storage, store and logs."""
        for candidate in self.command.candidates():
            number, lines = candidate.trial, self.epochs(candidate.trial)
            if candidate.state == "running":
                place = self._checkpoint(candidate)
                if place is not None and lines:
                    self.floors.setdefault(number, []).append((len(lines), min(place, max(lines))))
                continue
            if candidate.stopped_at is not None:  # its worker may have been in the next epoch
                lines = [place for place in lines if place <= ("stage 2", candidate.stopped_at)]
            if self.ends.setdefault(number, (candidate.ended, len(lines))) != (candidate.ended, len(lines)):
                self.told_twice.add(number)

    def epochs(self, number: int) -> list[Place]:
        """The epochs that trial `number` trained, in order."""
        path = self.command.logs / f"{number}.log"
        return trained_epochs(path) if path.exists() else []

    def repeated(self) -> int:
        """How many epochs were trained again although a checkpoint contained them."""
        return sum(
            any(at >= count and place <= floor for count, floor in floors)
            for number, floors in self.floors.items()
            for at, place in enumerate(self.epochs(number))
        )

    def trained(self) -> tuple[int, int]:
        """How many epochs were trained, and how many of them again."""
        logs = [self.epochs(candidate.trial) for candidate in self.command.candidates()]
        return sum(map(len, logs)), sum(len(lines) - len(set(lines)) for lines in logs)

    def _checkpoint(self, candidate: Candidate) -> Place | None:
        for name in reversed(self.store.names(KIND, candidate.recipe.digest())):
            found = self.store.get(KIND, name)
            if found is not None:
                last = json.loads(found["reports.json"])[-1]
                return last["stage"], last["epoch"]
        return None


def disturbed(command: Command, witness: Witness, kills: int, seed: int) -> Counter[str]:
    """Run the study to its end with `kills` kills; returns their number by kind. Raises Wrong."""
    rng, killed, excused, patient = random.Random(seed), Counter[str](), False, 0
    command.start()
    for number in range(kills):
        kind = KINDS[number % len(KINDS)]
        while True:
            if not goes_on(command, excused):
                return killed
            patient = patient - 1 if moment(command, rng, patient > 0) else PATIENT
            if command.kill(kind, rng):
                break
        killed[kind] += 1
        witness.look()
        excused = kind != "worker"
        print(f"kill {number + 1}, {kind}: {outcomes(command.candidates())}", flush=True)
    while goes_on(command, excused):
        progress(command)
    return killed


def goes_on(command: Command, excused: bool) -> bool:
    """Restart the command if a kill ended it. False when it has finished. Raises Wrong if it failed by itself."""
    if not command.ended():
        return True
    assert command.process is not None
    if command.process.returncode == 0:
        return False
    if not excused:
        raise Wrong(f"it ended with {command.process.returncode}:\n{command.output_tail()}")
    command.start()
    return True


def moment(command: Command, rng: random.Random, patient: bool) -> bool:
    """Wait for a random moment, or for the end: mostly, and where `patient` always, a while after a new epoch.

    Returns whether it waited for the epoch.
    """
    waits = rng.random() >= ANY_MOMENT or patient
    if waits:
        progress(command)
    until = time.monotonic() + rng.uniform(0, TRAINING_SECONDS if waits else ANY_SECONDS)
    while not command.ended() and time.monotonic() < until:
        time.sleep(0.02)
    return waits


def progress(command: Command) -> None:
    """Wait for an epoch that was never trained before, or for the end. Raises Wrong when neither comes."""
    epochs, written, since = command.epochs(), command.written(), time.monotonic()
    while not command.ended():
        if command.written() != written:
            written = command.written()
            if command.epochs() > epochs:
                return
        if time.monotonic() - since > STALLED_SECONDS:
            raise Wrong(f"no epoch for {STALLED_SECONDS:.0f} s:\n{command.output_tail()}")
        time.sleep(0.05)


def outcomes(candidates: list[Candidate]) -> str:
    """The numbers of trials by state, as text."""
    states = Counter(candidate.state for candidate in candidates)
    return ", ".join(f"{number} {state}" for state, number in sorted(states.items())) or "no trial yet"


def retrained(study: Study, trials: list[Candidate], folder: Path, data: Path) -> list[Candidate]:
    """The same recipes, one after the other in this process, undisturbed, with a store of their own."""
    trainer = Trainer(study.data, str(data), str(folder / "store"), "cpu", 1)
    facts = trainer.facts()
    teacher = study.resolved_teacher(facts.shape, len(facts.classes))
    for _ in trainer.train_teacher(teacher):
        pass
    trainer.open_teacher(teacher, None)
    return list(marked([c if c.outcome is None else again(trainer, c) for c in trials]))


def again(trainer: Trainer, c: Candidate) -> Candidate:
    """The same student, trained again to its end."""
    return c.changed(outcome=trainer.trained(c.recipe).outcome)


def wrong_verdicts(study: Study, trials: list[Candidate]) -> int:
    """How many verdicts were not acted on, or are not those that the rule gives again in the order of arrival."""
    if study.stopping is None:
        return 0
    rungs, wrong = Rungs(study.stopping, study.seed), 0
    arrived = sorted(((arrival, c) for c in trials for arrival in c.rungs), key=lambda pair: pair[0].order)
    for order, (arrival, c) in enumerate(arrived):
        peer = Peer(number=c.trial, accuracy=arrival.accuracy, params=c.cost.params, macs=c.cost.macs)
        wrong += rungs.arrive(arrival.epoch, peer) != arrival.verdict() or arrival.order != order
        wrong += not arrival.goes_on and (c.state != "pruned" or c.stopped_at != arrival.epoch)
    epochs = study.stopping.rung_epochs(study.stage2.epochs)
    return wrong + sum(c.state == "complete" and tuple(a.epoch for a in c.rungs) != epochs for c in trials)


def undisturbed(command: Command) -> list[Candidate]:
    """The trials of the study that was started, once it has ended undisturbed."""
    while goes_on(command, excused=False):
        progress(command)
    return command.candidates()


def essence(candidate: Candidate | None) -> object:
    """A trial without its times, which differ from run to run."""
    if candidate is None:
        return None
    outcome = candidate.outcome and candidate.outcome.changed(seconds=0.0)
    return candidate.state, candidate.recipe, candidate.cost, outcome, candidate.rungs, candidate.stopped_at


def verdict(command: Command, witness: Witness, expected: list[Candidate]) -> dict[str, int]:
    """The counts that must all be 0 at the end."""
    witness.look()
    trials, store = command.candidates(), Store(command.runs / "store")
    weights = [store.get("student", c.outcome.weights_sha256) for c in trials if c.outcome is not None]
    digests = Counter(c.recipe.digest() for c in trials)
    return {
        "trials lost": command.study.trials - sum(c.state in ("complete", "pruned") for c in trials),
        "trials told twice": len(witness.told_twice) + len(trials) - len(digests),
        "trials left RUNNING": sum(c.state == "running" for c in trials),
        "epochs trained again that a checkpoint held": witness.repeated(),
        "verdicts that are not the rule's": wrong_verdicts(command.study, trials),
        "trials of another recipe, value, weights or verdict": sum(
            essence(ours) != essence(theirs) for ours, theirs in zip_longest(trials, expected)
        ),
        "students on one front only": len(front(trials) ^ front(expected)),
        "students whose weights are not in the store": weights.count(None),
        "checkpoints left behind": len(store.names(KIND)),
        "processes left behind": command.left(),
    }


def front(trials: list[Candidate]) -> set[tuple[str, float, int, int]]:
    """The students on the front: recipe, accuracy, parameters, multiply-adds."""
    return {
        (c.recipe.digest(), c.outcome.val_accuracy, c.cost.params, c.cost.macs)
        for c in trials
        if c.on_front and c.outcome is not None
    }


def study_of(name: str, trials: int, seed: int) -> Study:
    """Small students that train for seconds, so that kills occur during training."""
    study = find_study(name).smoke()
    stage1, stage2 = study.stage1.changed(epochs=STAGE1_EPOCHS), study.stage2.changed(epochs=STAGE2_EPOCHS)
    return study.changed(name="chaos", trials=trials, seed=seed, stage1=stage1, stage2=stage2)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the moments and of the study")
    parser.add_argument("--set", default="digits", choices=["digits", "mnist"])
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--trials", type=int, help="default: enough for so many kills")
    options = parser.parse_args()
    study = study_of(options.set, options.trials or 2 + options.kills, options.seed)
    place = Path(tempfile.mkdtemp(prefix="chaos-")).resolve()
    command, quiet = (Command(place / name, study, options.workers, options.data) for name in ("disturbed", "quiet"))
    witness, began = Witness(command), time.monotonic()
    try:
        if options.workers == 1:
            quiet.start()
        killed = disturbed(command, witness, options.kills, options.seed)
        trials = command.candidates()
        expected = undisturbed(quiet) if options.workers == 1 else retrained(study, trials, place, options.data)
        wrong = {"kills too few": options.kills - killed.total()} | verdict(command, witness, expected)
    except Wrong as error:
        sys.exit(f"{error}\nEverything is in {place}")
    finally:
        command.end()
        quiet.end()
    epochs, again = witness.trained()
    rows = [[f"kills ({kind})", str(killed[kind])] for kind in KINDS]
    rows += [["trials", str(len(trials))], ["of them stopped early", str(sum(c.state == "pruned" for c in trials))]]
    rows += [["epochs trained", str(epochs)], ["of them a second time", str(again)]]
    rows += [[f"**{what}**", str(number)] for what, number in wrong.items()]
    print(versions("torch", "ray", "optuna"), f"{time.monotonic() - began:.0f} s")
    print(table(["", "number"], rows))
    if any(wrong.values()):
        sys.exit(f"Everything is in {place}")
    shutil.rmtree(place)
