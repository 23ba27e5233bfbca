"""A trial's log: what is in it, in which form, and that nothing ends for want of it."""

import os
import re
import socket
from pathlib import Path

from fitnets.config import Report
from search.workers.logs import LAST_LINES, Log, logs_folder, trained_epochs

STAGE_1 = Report(stage="stage 1", epoch=3, epochs=8, loss=0.5, hint_r2=0.25, seconds=1.5)
STAGE_2 = Report(stage="stage 2", epoch=1, epochs=2, loss=1e-7, val_accuracy=0.5, lam=4.0, seconds=0.5)


def test_a_log_in_full(tmp_path: Path) -> None:
    """Its form is relied upon by whoever counts epochs."""
    folder = logs_folder(tmp_path, "digits")
    log = Log(folder, 12)
    log.began()
    log.epoch(STAGE_1)
    log.epoch(STAGE_2)
    log.done()
    lines = (tmp_path / "logs" / "digits" / "12.log").read_text().splitlines()
    times, texts = zip(*(line.split(" ", 1) for line in lines), strict=True)
    assert all(re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", time) for time in times)
    assert texts == (
        f"began on {socket.gethostname()} as process {os.getpid()}",
        "stage 1 epoch 3/8 loss 0.500000 hint_r2 0.2500 seconds 1.500",
        "stage 2 epoch 1/2 loss 0.000000 val_accuracy 0.5000 seconds 0.500",
        "done",
    )
    assert trained_epochs(folder / "12.log") == [("stage 1", 3), ("stage 2", 1)]


def test_another_start_goes_on_in_the_same_file(tmp_path: Path) -> None:
    for _ in range(2):
        log = Log(tmp_path, 0)
        log.began()
        log.epoch(STAGE_1)
    assert trained_epochs(tmp_path / "0.log") == [("stage 1", 3)] * 2


def test_a_failure_leaves_its_traceback_among_the_last_lines(tmp_path: Path) -> None:
    log = Log(tmp_path, 0)
    for _ in range(2 * LAST_LINES):
        log.epoch(STAGE_1)
    try:
        raise RuntimeError("stage 1 epoch 9/9 of somebody else's words")
    except RuntimeError as error:
        log.failed(error)
    last = log.last().splitlines()
    assert len(last) == LAST_LINES
    assert last[-1] == "RuntimeError: stage 1 epoch 9/9 of somebody else's words"
    assert "Traceback (most recent call last):" in last
    assert len(trained_epochs(tmp_path / "0.log")) == 2 * LAST_LINES


def test_no_folder_or_none_that_can_be_written_keeps_no_log(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (None, tmp_path / "file" / "logs"):
        log = Log(folder, 0)
        log.began()
        log.failed(RuntimeError("x"))
        assert log.last() == ""
