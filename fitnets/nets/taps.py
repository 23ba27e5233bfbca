"""The outputs of a network's submodules in one pass, without computing layers above the last one needed.

Shape suffixes: B batch, C channels, H rows, W columns, K classes.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from torch import Tensor, nn


class _Reached(Exception):
    """Raised by a hook to skip everything above the highest tapped layer."""


def tapped(network: nn.Module, x_BCHW: Tensor, names: Sequence[str], *, whole: bool) -> list[Tensor]:
    """One pass: the outputs of the submodules `names`, followed by the network's own (BK) if `whole` is set.

    Outputs are copied, so that a later in-place layer cannot change them; for a submodule that is called twice, the
    first output is returned. Raises ValueError when the network never calls one of the submodules, TypeError when one
    does not return a tensor.
    """
    caught: dict[str, Tensor] = {}

    def catch(name: str, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise TypeError(f"its submodule `{name}` puts out a {type(output).__name__}, not a tensor.")
        caught.setdefault(name, output.clone())
        if not whole and len(caught) == len(names):
            raise _Reached

    def hook(name: str) -> Any:
        return lambda module, inputs, output: catch(name, output)

    handles = [network.get_submodule(name).register_forward_hook(hook(name)) for name in names]
    top: list[Tensor] = []
    try:
        with suppress(_Reached):
            top = [network(x_BCHW)]
    finally:
        for handle in handles:
            handle.remove()
    for name in names:
        if name not in caught:
            raise ValueError(f"the network never calls its submodule `{name}`.")
    return [*(caught[name] for name in names), *top]


class Tap(nn.Module):
    """A network cut off at one of its submodules: its output there, with nothing above it computed."""

    def __init__(self, network: nn.Module, name: str):
        super().__init__()
        self.network, self.name = network, name

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Images BCHW to the submodule's output; raises as `tapped` does."""
        return tapped(self.network, x_BCHW, [self.name], whole=False)[0]
