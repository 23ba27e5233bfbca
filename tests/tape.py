"""Stand-ins for a GPU on a CPU: a counter of what would wait for the device, a tape that replays as a CUDA graph."""

from collections import Counter
from contextlib import nullcontext
from typing import Any, Self

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "unique", "is_nonzero")
"""Operators whose result the host waits for: `.item()`, `float()`, `if tensor`, those with as many rows as found."""
READING = ("cpu", "numpy", "tolist", "__array__")
"""Methods that copy to the host; on a CPU they reach no operator."""


class _Methods(TorchFunctionMode):
    def __init__(self, seen: Counter[str]):
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in READING:
            self.seen[func.__name__] += 1
        return func(*args, **(kwargs or {}))


class Reads(TorchDispatchMode):
    """Counts what would make the host wait for the device: reads of values, copies to the host, boolean masks."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: Counter[str] = Counter()
        self._methods = _Methods(self.seen)

    def __enter__(self) -> Self:
        self._methods.__enter__()  # type: ignore[no-untyped-call]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._methods.__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name.startswith(WAITING):
            self.seen[name] += 1
        elif name.startswith("index") and any(is_mask(index) for index in args[1] or ()):
            self.seen["mask"] += 1
        return func(*args, **(kwargs or {}))


def is_mask(index: Any) -> bool:
    """Whether an index is a boolean mask, of which a GPU must count the set places first."""
    return isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8)


class Tape(TorchDispatchMode):
    """Records the operators that run in it, and replays them as a CUDA graph does.

    They read and write the same tensors again, whatever these contain by then; numbers are those of the recording, and
    no line of Python between the operators runs again.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._calls: list[tuple[Any, Any, Any, list[Any]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert not func.overloadpacket.__name__.startswith(WAITING), f"{func}: a graph cannot read the device"
        result = func(*args, **(kwargs or {}))
        self._calls.append((func, args, kwargs or {}, tree_leaves(result)))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        """Run the recorded operators again."""
        made: dict[int, Any] = {}

        def now(value: Any) -> Any:
            return made.get(id(value), value) if isinstance(value, Tensor) else value

        for func, args, kwargs, recorded in self._calls:
            result = tree_leaves(func(*tree_map(now, args), **tree_map(now, kwargs)))
            made |= {id(old): new for old, new in zip(recorded, result, strict=True) if isinstance(old, Tensor)}


class Graph(Tape):
    """In a CUDA graph's place. Recording runs the operators here, which stands for the first replay."""

    def __init__(self) -> None:
        super().__init__()
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1
        if self.replays > 1:
            super().replay()


class FakeCuda:
    """In torch.cuda's place: streams that remember what they waited for, and graphs that are tapes."""

    class Stream:
        def __init__(self) -> None:
            self.waited: list[FakeCuda.Stream] = []

        def wait_stream(self, other: "FakeCuda.Stream") -> None:
            self.waited.append(other)

    def __init__(self, patch: pytest.MonkeyPatch):
        self.usual, self.made, self.graphs = self.Stream(), list[FakeCuda.Stream](), list[Graph]()
        self.warmed: list[FakeCuda.Stream] = []
        """The stream of each update that was made as usual."""
        patch.setattr(torch.cuda, "Stream", lambda: added(self.made, self.Stream()))
        patch.setattr(torch.cuda, "CUDAGraph", lambda: added(self.graphs, Graph()))
        patch.setattr(torch.cuda, "stream", lambda stream: nullcontext(added(self.warmed, stream)))
        patch.setattr(torch.cuda, "graph", self.recording)
        patch.setattr(torch.cuda, "current_stream", lambda: self.usual)

    def recording(self, graph: Graph, *, stream: "FakeCuda.Stream", capture_error_mode: str) -> Graph:
        assert stream is self.made[-1] and capture_error_mode == "thread_local", "other threads may use the GPU"
        return graph


def added(made: list[Any], new: Any) -> Any:
    """`new`, noted in `made`."""
    made.append(new)
    return new
