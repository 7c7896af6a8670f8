"""Pictures of graphs, of their derivatives and of the gradient that flows in them."""

from symgrad.drawing.picture import Drawing, draw

__all__ = ["Drawing", "draw"]
