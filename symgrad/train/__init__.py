"""Train: initial values, optimizers as graphs, and the loop over batches."""
