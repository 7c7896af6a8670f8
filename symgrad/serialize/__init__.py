"""Graphs as files: safetensors with the graph as JSON, and nothing executable."""
