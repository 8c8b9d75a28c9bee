"""Parts of a fitted model as programs that run without this package."""
