"""The average of several networks, as one network."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fitnets.nets.network import Network


class Average(nn.Module):
    """The members' average as logits: its softmax is the geometric or arithmetic mean of their probabilities.

    Section 2.1 of the paper: "either P_T or a_T are obtained by averaging outputs from different networks".
    """

    def __init__(self, members: Sequence[Network], average: Literal["logits", "probabilities"]):
        super().__init__()
        self.members, self.average = nn.ModuleList(members), average

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Images BCHW to logits BK."""
        logits_MBK = torch.stack([member(x_BCHW).float() for member in self.members])
        if self.average == "logits":
            return logits_MBK.mean(0)
        return F.log_softmax(logits_MBK, dim=2).logsumexp(0) - math.log(len(self.members))

    def prefix(self, layer: int) -> nn.Sequential:
        """Layers 1..`layer` of the first member: hints come from a single network."""
        first = self.members[0]
        assert isinstance(first, Network)
        return first.prefix(layer)
