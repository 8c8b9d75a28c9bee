"""Runs that print tables. Nothing in the package imports them."""
