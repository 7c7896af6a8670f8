"""PyTorch's modules as graphs: each operator of an exported program, declared anew."""
