"""Missing cells: baselines, and estimates from several imputations combined."""
