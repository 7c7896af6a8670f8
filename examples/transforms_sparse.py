"""A nonlinear heat equation on a grid, solved with sparse Jacobians.

The Jacobian of 1,600 equations has 7,840 entries.  Their places are found from the
index maps of the slices, their values from 7 products with vectors, compiled.
"""

import numpy as np
import scipy.sparse.linalg

import symgrad as sg


def residual(u, source):
    """Return ``-Δu + exp(u) - source`` with 0 on the boundary."""
    wide = np.pad(u, [(1, 1), (1, 1)])
    around = wide[2:, 1:-1] + wide[:-2, 1:-1] + wide[1:-1, 2:] + wide[1:-1, :-2]
    return (4 * u - around) * u.shape[0] ** 2 + np.exp(u) - source


def main(n=40):
    source = np.full((n, n), 50.0)
    f, jacobian = sg.jit(residual), sg.sparse_jacobian(residual)
    u = np.zeros((n, n))
    for step in range(6):
        error = f(u, source)
        print(f"step {step}: residual {np.abs(error).max():.1e}")
        matrix = jacobian(u, source)
        u = u - scipy.sparse.linalg.spsolve(matrix, error.ravel()).reshape(n, n)
    print(f"{matrix.shape[0]} equations, {matrix.nnz} entries")
    return np.abs(f(u, source)).max()


if __name__ == "__main__":
    main()
