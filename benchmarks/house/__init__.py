"""What the source looks like to a reader, and the numbers that moving it must not change."""
