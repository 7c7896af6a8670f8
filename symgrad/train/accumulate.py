"""Gradients of several batches in one step, as if they were one large batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from symgrad.declare.ops import FUNCTIONS
from symgrad.declare.ops.elementwise import where
from symgrad.declare.tensor import Param, Tensor, exact_scope, param, topological
from symgrad.pipeline import compile
from symgrad.run.program import Program
from symgrad.train.initialize import name_of
from symgrad.train.optim import Optimizer

SCOPE = "accumulated"
#: A tensor in arithmetic, whose operators type checkers do not see.
Node = Any
astype = FUNCTIONS["astype"]


class Accumulation:
    """Two programs: one adds a batch's gradients, the other makes the step as well.

    A batch counts by its share of the samples, so that the sum is the gradient of the
    mean over all of them.

    Args:
        inputs: the model's inputs.
        loss: the loss, as in training.
        trainable: the parameters that learn.
        gradients: the loss's gradient for each.
        optimizer: what makes the step.
        state: state -> its value after a batch.
        arrays: parameters and state by name, to be changed in place.
        threads: how many threads to use.
    """

    def __init__(
        self,
        inputs: Sequence[Tensor],
        loss: Tensor,
        trainable: Sequence[Tensor],
        gradients: Sequence[Node],
        optimizer: Optimizer,
        state: Mapping[Tensor, Tensor],
        arrays: Mapping[str, np.ndarray],
        threads: int | None,
    ) -> None:
        self._state = [arrays[name_of(s)] for s in state]
        with exact_scope(SCOPE):
            kept: Node = param("kept", (), False, False, "bool")
            share: Node = param("share", (), 0.0, False, "float64")
            held: list[Node] = [
                param(name_of(p), p.shape, 0.0, False, p.dtype)  # type: ignore[arg-type]
                for p in trainable
            ]
        sums = [
            where(kept, h, 0.0) + astype(share, g.dtype) * g
            for h, g in zip(held, gradients, strict=True)
        ]
        self._kept, self._share = np.zeros((), bool), np.zeros(())
        own = {name_of(kept): self._kept, name_of(share): self._share}
        own |= {name_of(h): np.zeros(h.shape, h.dtype) for h in held}
        adding = dict(zip(held, sums, strict=True)) | dict(state)
        stepping = optimizer.updates(trainable, sums).values | dict(state)

        def compiled(made: Mapping[Tensor, Tensor]) -> Program:
            program = compile(list(inputs), loss, threads=threads, updates=made)
            used = topological([loss, *made, *made.values()])
            known = {t.name for t in used if isinstance(t.op, Param)}
            program.bind({n: a for n, a in (own | dict(arrays)).items() if n in known})
            return program

        self._add, self._step = compiled(adding), compiled(stepping)

    def step(self, batches: Sequence[Sequence[np.ndarray]], counts: list[int]) -> float:
        """Make one step on several batches; return the loss before it.

        Interrupted between two batches, it leaves the state as it was.
        """
        before = [s.copy() for s in self._state]
        loss, done = 0.0, 0
        try:
            for batch, count in zip(batches, counts, strict=True):
                self._share[...] = count / sum(counts)
                self._kept[...] = done > 0
                run = self._step if done == len(batches) - 1 else self._add
                loss += float(self._share) * float(run(*batch))
                done += 1
        except BaseException:
            if done < len(batches) - 1:
                for s, old in zip(self._state, before, strict=True):
                    s[...] = old
            raise
        return loss
