"""One update of a training run, in a form that a CUDA graph can record.

Everything that an update reads or writes lies in tensors that keep their places: weights, the optimiser's state, the
batch's indices, the learning rates, the sum of the losses. Between two updates of an epoch only their contents change,
so that a recorded update is every update of that epoch. What changes from epoch to epoch (views, tables, lambda,
momentum) may be anywhere: each epoch is recorded anew, after three updates that are made as usual.

At the sizes that are searched here an update is some 200 kernels of microseconds, and launching them one by one takes
longer than running them. As a graph they are one launch. It is used only where FITNET_CUDA_GRAPH=1 is set: it has not
been run on any GPU yet, and `python -m bench.gpu` shows on yours whether it comes to the same numbers.
"""

import os
from collections.abc import Callable

import torch
from torch import Tensor

SWITCH = "FITNET_CUDA_GRAPH"
WARM_UP = 3  # updates made as usual before one is recorded: they choose algorithms and allocate what a graph may not


class Step:
    """Forward pass, loss, backward pass and update, for the images in `index_B`. Nothing is read from the device."""

    def __init__(self, optimizer: torch.optim.Optimizer, loss: Callable[[Tensor], Tensor], index_B: Tensor):
        self.index_B = index_B.clone()
        """The batch: write the next one into it."""
        self.total = torch.zeros((), device=index_B.device)
        """The sum of the losses so far."""
        self._optimizer, self._loss = optimizer, loss

    def __call__(self) -> None:
        """Make one update."""
        loss = self._loss(self.index_B)
        loss.backward()
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.total += loss.detach()


class GraphedStep:
    """A Step that is recorded as a CUDA graph after WARM_UP calls, and replayed from then on."""

    def __init__(self, step: Step):
        self._step, self._calls = step, 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._stream = torch.cuda.Stream()

    def __call__(self) -> None:
        """Make one update."""
        if self._graph is None and self._calls == WARM_UP:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                self._step()  # recorded, not run
            self._graph = graph
        if self._graph is not None:
            self._graph.replay()
            return
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):  # the same stream as the recording's, as PyTorch asks for
            self._step()
        current.wait_stream(self._stream)
        self._calls += 1


def quickest(step: Step) -> Callable[[], None]:
    """The step as it is made on its device: as a CUDA graph where that is switched on, else as it is."""
    is_graphed = step.index_B.device.type == "cuda" and os.environ.get(SWITCH) == "1"
    return GraphedStep(step) if is_graphed else step
