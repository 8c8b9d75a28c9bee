"""What a model has learned of the levels of its random effects."""
