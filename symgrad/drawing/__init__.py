"""Pictures of graphs, of their derivatives and of the gradient that flows in them."""
