"""The report of a run: one HTML page with its numbers and pictures, which needs nothing else."""
