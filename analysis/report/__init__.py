"""A fitted model as a whole: checks, comparisons and known answers."""
