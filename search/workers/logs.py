"""A trial's log: what its worker did, a line for each epoch trained. Written where the worker runs. No torch.

    2026-11-20T16:20:31Z began on node1 as process 4711
    2026-11-20T16:20:33Z stage 1 epoch 3/8 loss 0.512345 hint_r2 0.3100 seconds 1.203
    2026-11-20T16:20:40Z done

An epoch's line is written after its checkpoint; an epoch replayed from a checkpoint has none. A failure adds its
traceback. Every start of the trial, on any machine that shares this folder, appends to the same file.
"""

import os
import re
import socket
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from fitnets.config import Report

LAST_LINES = 30
LAST_CHARACTERS = 4000
_EPOCH = re.compile(r"[0-9T:-]+Z (stage [12]) epoch ([0-9]+)/[0-9]+ ")


def logs_folder(runs: Path, study: str) -> Path:
    """Where the logs of a study's trials are: `<number>.log` for each."""
    return runs / "logs" / study


class Log:
    """The log of trial `number`, appended to. With no folder (None), or one that cannot be written, there is none."""

    def __init__(self, folder: Path | None, number: int):
        self.path = folder / f"{number}.log" if folder is not None else None

    def began(self) -> None:
        """A worker begins."""
        self._line(f"began on {socket.gethostname()} as process {os.getpid()}")

    def epoch(self, report: Report) -> None:
        """An epoch was trained, and its checkpoint is written."""
        score = f"hint_r2 {report.hint_r2:.4f}" if report.hint_r2 is not None else ""
        score = f"val_accuracy {report.val_accuracy:.4f}" if report.val_accuracy is not None else score
        self._line(
            f"{report.stage} epoch {report.epoch}/{report.epochs} loss {report.loss:.6f} {score} "
            f"seconds {report.seconds:.3f}"
        )

    def done(self) -> None:
        """The trial has finished."""
        self._line("done")

    def stopped(self) -> None:
        """The trial was stopped between two epochs."""
        self._line("stopped")

    def failed(self, error: BaseException) -> None:
        """The trial has failed."""
        self._line("failed\n" + "".join(traceback.format_exception(error)).rstrip())

    def last(self) -> str:
        """The last lines; empty where there is no log."""
        if self.path is None:
            return ""
        try:
            text = self.path.read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-LAST_LINES:])[-LAST_CHARACTERS:]

    def _line(self, text: str) -> None:
        """Append a line in one write. A full disk must not end a training because of its log."""
        if self.path is None:
            return
        now = datetime.now(UTC).isoformat(timespec="seconds").removesuffix("+00:00")
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as file:
                file.write(f"{now}Z {text}\n")


def trained_epochs(path: Path) -> list[tuple[str, int]]:
    """The epochs trained according to a log, in order: `("stage 1", 3)`. One listed twice was trained twice."""
    return [(found[1], int(found[2])) for line in path.read_text().splitlines() if (found := _EPOCH.match(line))]
