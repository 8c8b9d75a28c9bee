"""The environment of a process that `torchrun` started, read without importing torch."""

import os

VARIABLES = frozenset(
    {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"}
)


def launched() -> bool:
    """Whether this process was started as one of several."""
    return os.environ.keys() >= VARIABLES and os.environ["WORLD_SIZE"] != "1"


def launched_first() -> bool:
    """Whether this is the process that writes and prints: it is alone, or the first of several."""
    return not launched() or os.environ["RANK"] == "0"


def restarts() -> int:
    """How often torchrun has started this command before, of which a process has failed then."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
