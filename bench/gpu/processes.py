"""K processes that train a student each on one device, side by side as a GPU's slots do: one way of `bench.gpu`.

    python -m bench.gpu.processes NAME COUNT BATCH IMAGES STEPS     one of them, started by `Processes`

For each line on its standard input, a process makes STEPS updates of the student NAME and answers. It keeps to a
COUNTth of the GPU's memory, as a slot keeps to its share. Needs no more than `bench.gpu.steps`.
"""

import subprocess
import sys
from contextlib import suppress
from typing import Self

import torch

from bench.gpu.steps import NETS, Call, Random, kd_step, student, wait
from fitnets.nets.precision import native, use_ieee_float32
from fitnets.training.step import GraphedStep

DONE = "done\n"


class Processes:
    """`count` processes, started; to be closed."""

    def __init__(self, name: str, count: int, batch: int, images: int, steps: int):
        self.images = count * batch * steps
        """Of one call."""
        words = [sys.executable, "-m", __name__, name, *map(str, (count, batch, images, steps))]
        pipe = subprocess.PIPE
        self._all = [subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) for _ in range(count)]

    def __call__(self) -> None:
        """`steps` updates of each of them, all at once. Raises RuntimeError where one has died: stderr has why."""
        for process in self._all:
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # it is dead: it does not answer either
                process.stdin.write("\n")
                process.stdin.flush()
        for process in self._all:
            assert process.stdout is not None
            if process.stdout.readline() != DONE:
                raise RuntimeError(f"one of {len(self._all)} processes died: see its error above, and try fewer")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._all:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with suppress(BrokenPipeError):  # what a dead one was still to be told
                    pipe.close()
            process.wait()


def captured(name: str, count: int, batch: int, images: int) -> tuple[Call, torch.device]:
    """The step of one of `count` processes on this machine's GPU, or on one core where there is none."""
    use_ieee_float32()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(1 / count)
    else:
        torch.set_num_threads(1)
    step = kd_step(student(NETS[name], 0, device), Random(device, images), batch, native(device))
    return (GraphedStep(step) if device.type == "cuda" else step), device


def main() -> None:
    """Make updates as asked for, until the standard input ends."""
    name, count, batch, images, steps = sys.argv[1], *map(int, sys.argv[2:])
    call, device = captured(name, count, batch, images)
    for _ in sys.stdin:
        for _ in range(steps):
            call()
        wait(device)
        sys.stdout.write(DONE)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
