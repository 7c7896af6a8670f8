"""PyTorch with `torch.compile` around the loss of the eager models."""

import torch

from . import torch_peer
from .torch_models import (  # noqa: F401 - the tasks, by name
    block,
    characters,
    cnn,
    deep,
    memory,
)

torch_peer.compiled = torch.compile
