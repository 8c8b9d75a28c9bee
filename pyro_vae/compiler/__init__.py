"""Graphs of tensor operations: traced, compiled, and recorded on a GPU."""
