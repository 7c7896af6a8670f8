"""Layers and losses: functions that declare parameters and return tensors.

Each layer is a composition of the library's operations, so that its gradient, kernels
and picture follow.  ``f(x, …, name=)`` makes its parameters in a scope of that name.

>>> import symgrad as sg
>>> x = sg.input("x", ("batch", 64))
>>> y = sg.nn.mlp(x, [32, 10], activation="gelu", name="classifier")
>>> sorted(sg.init(y))[0]
'classifier/layer1/W'
"""

from symgrad.nn.adapters import adapt, lora
from symgrad.nn.attend import attention, multi_head_attention, transformer_block
from symgrad.nn.dense import embedding, linear, mlp, residual
from symgrad.nn.losses import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber,
    mse,
)
from symgrad.nn.modal import batch_norm, dropout, state_updates
from symgrad.nn.normalize import layer_norm, rms_norm
from symgrad.nn.recurrent import gru, lstm
from symgrad.nn.windows import conv2d

__all__ = [
    "adapt",
    "attention",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "conv2d",
    "cross_entropy",
    "dropout",
    "embedding",
    "gru",
    "huber",
    "layer_norm",
    "linear",
    "lora",
    "lstm",
    "mlp",
    "mse",
    "multi_head_attention",
    "residual",
    "rms_norm",
    "state_updates",
    "transformer_block",
]
