"""How long something took, in words."""


def in_seconds(seconds: float) -> str:
    """A time in seconds: whole ones from 10 on, and two digits of a shorter time.

    Example:
        >>> in_seconds(0.3141), in_seconds(2.0), in_seconds(314.1)
        ('0.31 s', '2 s', '314 s')
    """
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
