"""What counts as agreement of a guide with NUTS; imports nothing, so that figures have it too."""

SHIFT = 0.2
"""Difference of means, in standard deviations, up to which a guide agrees with NUTS."""
RATIO = 1.2
"""Factor between standard deviations up to which a guide agrees with NUTS."""
