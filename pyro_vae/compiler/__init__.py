"""Graphs of tensor operations as compiled programs."""
