"""Declare: typed, shaped, hash-consed graph nodes and the operations that make them."""
