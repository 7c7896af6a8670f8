"""symgrad: a symbolic computation-graph compiler."""
