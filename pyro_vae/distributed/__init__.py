"""Several processes that work as one: their group and their launch."""
