"""Schedule: group the nodes of a graph into kernels and plan their memory."""
