"""Dropout during training, applied outside the network: evaluated, frozen or exported networks have none."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fitnets.nets.network import Network
from fitnets.values.updates import Dropout


def forward_with_dropout(network: Network, x_BCHW: Tensor, dropout: Dropout) -> Tensor:
    """Images BCHW to logits BK, with every layer's input masked; the masks come from torch's global generator.

    As in pylearn2's files, the masked images are not rescaled; the inputs of later layers are.
    """
    x_BCHW = x_BCHW * torch.empty_like(x_BCHW).bernoulli_(dropout.keep_input)
    for number, layer in enumerate(network.layers):
        x_BCHW = layer(x_BCHW if number == 0 else F.dropout(x_BCHW, 1 - dropout.keep))
    return x_BCHW
