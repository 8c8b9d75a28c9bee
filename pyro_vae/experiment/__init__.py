"""One experiment from its description to its folder of results."""
