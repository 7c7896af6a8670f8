"""Graphs from and to other systems: ONNX, PyTorch, JAX, and plain Python.

Each needs its package only when it is called; ``pip install 'symgrad[onnx]'`` (or
``torch``, ``jax``) installs it.
"""

from symgrad.interop.to_jax import to_jax

__all__ = ["to_jax"]
