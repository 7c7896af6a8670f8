"""Programs as modules of plain Python that need only NumPy and Numba."""
