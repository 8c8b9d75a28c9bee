"""Anomaly scores with p-values, and the share of each column."""
