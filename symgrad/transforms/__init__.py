"""Transforms of Python functions: derivatives, vectorization and compilation.

A function of arrays is traced into a graph once for each shape and type of its
arguments, differentiated or vectorized there, compiled and run.  Inside another
function that is being traced, a transformed function extends that function's graph.
"""
