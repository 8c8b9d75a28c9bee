"""Plots and statistics of ArviZ on trees of ours, and files of them, on both lines of ArviZ."""
