"""Evaluation mode for a while, and whether a program is being made of what runs."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pyro
import torch
from torch import nn

from pyro_vae.threads import alone


@contextmanager
def evaluating(*networks: nn.Module) -> Iterator[None]:
    """Put the modules into evaluation mode inside the block, and each part back to its mode after.

    Of several threads one is inside such a block at a time, since the mode belongs to the module.

    Example:
        >>> dropout = nn.Dropout()
        >>> with evaluating(dropout):
        ...     dropout.training
        False
        >>> dropout.training
        True
    """
    with alone():
        modes = {
            module: module.training
            for network in networks
            for module in network.modules()
        }
        try:
            for network in networks:
                network.eval()
            yield
        finally:
            for module, training in modes.items():
                module.training = training


def unvalidated() -> AbstractContextManager[None]:
    """A block without the checks of Pyro and of torch; after it each switch is as it was before.

    Example:
        >>> with unvalidated():
        ...     pyro.settings.get("validate_distributions_torch")
        False
    """
    return _validating(False)


def validated() -> AbstractContextManager[None]:
    """A block with these checks; after it each switch is as it was before."""
    return _validating(True)


def _validating(checks: bool) -> AbstractContextManager[None]:
    """`pyro.validation_enabled` would leave torch's switch as Pyro's was."""
    names = [name for name in pyro.settings.get() if name.startswith("validate_")]
    block: AbstractContextManager[None] = pyro.settings.context(
        **dict.fromkeys(names, checks)
    )
    return block


def traced() -> bool:
    """Whether TorchScript is tracing what runs now, as Pyro's `JitTrace_ELBO` does.

    Example:
        >>> traced()
        False
    """
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return tracing


def exported() -> bool:
    """Whether `torch.export` is making a program of what runs now; torch before 2.7 doesn't say.

    Example:
        >>> exported()
        False
    """
    exporting: bool = getattr(torch.compiler, "is_exporting", lambda: False)()
    return exporting
