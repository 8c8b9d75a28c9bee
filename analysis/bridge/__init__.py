"""Draws and log p(x) in the forms that ArviZ takes."""
