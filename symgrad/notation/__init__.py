"""Formulas of graphs: matrix notation, LaTeX, listings, headings of kernels."""
