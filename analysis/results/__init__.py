"""What results have in common: verdicts with number, threshold, source and remedy."""
