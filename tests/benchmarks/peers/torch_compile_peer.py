"""PyTorch with `torch.compile` around each function of the eager peer."""

import torch

from . import torch_peer
from .torch_peer import (  # noqa: F401 - the tasks, by name
    call,
    chain,
    chain_gradient,
    layer_norm,
    mlp,
    softmax,
)

torch_peer.compiled = torch.compile
