"""The animated page that walks a model through every idea of its gradients."""
