"""Linear algebra: by how much a solution, an inverse or a factor multiplies gradients.

The norms are of the derivatives in ``symgrad.derivation.linear_algebra``; they need the
least singular value of the matrix, which is taken from its array.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from symgrad.declare.linear_algebra import LinearAlgebra
from symgrad.prediction.facts import Facts, Known, times

SLACK = 1 + 1e-9


def matrix_factors(
    op: LinearAlgebra, facts: Sequence[Facts]
) -> list[tuple[float, str]]:
    """Return a bound on the norm of the derivative by each operand, with its text.

    >>> A = Known(np.diag([4.0, 0.5]))
    >>> matrix_factors(LinearAlgebra("inv"), [A])[0][1]
    '‖A⁻¹‖² = 4'
    """
    matrix, *others = facts
    low, high = singular_values(matrix)
    inverse = 1 / low if low > 0 else math.inf
    size = matrix.shape[-1]
    if op.name == "inv":
        return [_said(inverse**2, "‖A⁻¹‖²")]
    if op.name == "solve":
        (right,) = others
        rank = len(right.shape)
        answer = times(inverse, right.norm(range(rank - 2, rank)))
        return [
            _said(times(inverse, answer), "‖A⁻¹‖·‖A⁻¹B‖"),
            _said(inverse, "‖A⁻¹‖"),
        ]
    if op.name == "logabsdet":
        return [_said(inverse * math.sqrt(size), "‖A⁻¹‖_F")]
    if op.name == "det":  # the norm of the cofactors
        return [_said(high ** (size - 1) * math.sqrt(size), "‖A⁻¹‖_F·|det A|")]
    if op.name == "cholesky":
        return [_said(inverse * math.sqrt(high), "‖A⁻¹‖·√‖A‖")]
    return [(math.inf, "no bound")] * len(facts)


def singular_values(matrices: Facts) -> tuple[float, float]:
    """Return a lower and an upper bound on the singular values of all matrices."""
    if not isinstance(matrices, Known) or not matrices.array.size:
        rank = len(matrices.shape)
        return 0.0, matrices.norm(range(rank - 2, rank))
    wide = np.float64(matrices.array)
    if not np.isfinite(wide).all():
        return 0.0, math.inf
    found = np.linalg.svd(wide, compute_uv=False)
    rounding = 1e-14 * float(found.max()) * matrices.shape[-1]
    low = max(float(found.min()) - rounding, 0.0)
    return low / SLACK, float(found.max()) * SLACK


def _said(value: float, text: str) -> tuple[float, str]:
    return value, f"{text} = {value:.4g}" if math.isfinite(value) else f"{text}, ∞"
