"""Dropout in training, from outside the network: what is evaluated, frozen or exported has none by construction."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fitnets.nets.network import Network
from fitnets.values.updates import Dropout


def dropped(network: Network, x_BCHW: Tensor, dropout: Dropout) -> Tensor:
    """Images BCHW to logits BK, every layer's input masked; the masks come from torch's global generator.

    The images are not scaled up for what they lose, as in pylearn2's files; later layers' inputs are.
    """
    x_BCHW = x_BCHW * torch.empty_like(x_BCHW).bernoulli_(dropout.keep_input)
    for number, layer in enumerate(network.layers):
        x_BCHW = layer(x_BCHW if number == 0 else F.dropout(x_BCHW, 1 - dropout.keep))
    return x_BCHW
