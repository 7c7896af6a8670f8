"""From a plan to the text of kernels."""
