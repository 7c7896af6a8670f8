"""The one kind of node outside index notation: functions of whole matrices.

A matrix is the last two dimensions of an operand; the same holds for each element of
the dimensions before them.

operation         operands         result
----------------  ---------------  ---------------------------------------------------
cholesky          A                L, lower triangular, L Lᵀ = (A + Aᵀ)/2
inv               A                A⁻¹
solve             A, B             A⁻¹ B
det               A                det A
cofactor          A                its cofactors, det A · A⁻ᵀ if it is regular
logabsdet         A                log |det A|
signdet           A                the sign of det A: -1, 0 or 1

What the schedule makes of them (``symgrad.schedule.factors``):

lu                A                L + U - 1, where A P = L U; L is lower triangular, U
                                   upper with ones on its diagonal, P exchanges columns
pivots            A                with which column each one was exchanged, int64
lu_solve          lu, pivots, B    A⁻¹ B, or A⁻ᵀ B
triangular_solve  L, B             L⁻¹ B, or L⁻ᵀ B
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LinearAlgebra:
    """An operation of the table; ``transposed`` is for the solves with factors."""

    name: str
    transposed: bool = False


#: The operations whose operand gets no cotangent.
CONSTANT = ("signdet",)
