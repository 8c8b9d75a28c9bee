"""Whether codes carry something of the context."""
