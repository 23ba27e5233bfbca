"""search/lock.py: one driver for each study."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fitnets.errors import InputError
from search.lock import held

HOLD = "import sys; from pathlib import Path; from search.lock import held\n"
HOLD += "with held(Path(sys.argv[1]), 'digits'): print('held', flush=True); sys.stdin.readline()"


def test_a_second_driver_is_told_who_has_the_study(tmp_path: Path) -> None:
    with held(tmp_path, "digits"):
        done = subprocess.run(
            [sys.executable, "-c", HOLD, str(tmp_path)], capture_output=True, text=True, input="", check=False
        )
    assert done.returncode != 0
    assert f"process {os.getpid()} on " in done.stderr
    assert "--name" in done.stderr


def test_another_study_is_free(tmp_path: Path) -> None:
    with held(tmp_path, "digits"), held(tmp_path, "mnist"):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["digits.lock", "mnist.lock"]


def test_a_killed_driver_leaves_the_study_free(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None and driver.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"process {driver.pid} "), held(tmp_path, "digits"):
            pass
        driver.kill()
        driver.wait()
    with held(tmp_path, "digits"):
        pass
