"""From a result to its pictures."""
