"""Derive: symbolic derivatives, from scalar slopes to the gradient of a graph."""
