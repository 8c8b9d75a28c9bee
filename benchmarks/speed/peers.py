"""Other packages, where they are installed."""

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from benchmarks.speed.clock import Run
from benchmarks.speed.sizes import Size

PEERS = ("numpyro", "pythae", "pyroved")


def contestants(size: Size, names: Sequence[str]) -> dict[str, Run]:
    """Those of the packages that are installed; a line for each that is not."""
    runs: dict[str, Run] = {}
    for name in names:
        try:
            version(name)
        except PackageNotFoundError:
            print(f"{name} is left out: it is not installed", flush=True)
            continue
        runs |= import_module(f"benchmarks.speed.with_{name}").contestants(size)
    return runs


def versions() -> str:
    """Of everything that takes part."""
    found = []
    for name in ("torch", "pyro-ppl", "numpyro", "jax", "pythae", "pyroved"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
