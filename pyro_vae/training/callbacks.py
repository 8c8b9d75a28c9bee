"""Functions of the user that `fit` calls after each epoch: they log it, and may end the run."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from pyro_vae.distributed.collectives import mean_over_ranks
from pyro_vae.distributed.process_group import is_first
from pyro_vae.rng import own_seed
from pyro_vae.training.run import Run


class Callback(Protocol):
    """A function of one row of the history; any callable with one argument is one.

    It is called after the epoch was validated and its weights kept where it is the best so far. An
    error in it ends the run as any other error does, with the best weights in the model. What it
    draws from torch's generators changes nothing in the training.

    Example:
        >>> from pyro_vae import VAE, fit
        >>> def bad_enough(row):
        ...     return row["epoch"] == 2
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> run = fit(vae, torch.randn(100, 4), epochs=9, callbacks=[bad_enough])
        >>> len(run.history), run.stopped
        (2, True)
    """

    def __call__(self, row: dict[str, float], /) -> Any:
        """Look at an epoch.

        Arguments:
            row: a copy of the epoch's row of `Run.history`, in nats per row, with its number, from
                1, as `row["epoch"]`.

        Returns:
            True to stop the training after this epoch; anything else goes on.
        """


def require_callables(callbacks: Any) -> tuple[Callback, ...]:
    """The callbacks as a tuple.

    Raises:
        ValueError: something else than functions.

    Example:
        >>> require_callables([print])
        (<built-in function print>,)
    """
    if not isinstance(callbacks, Iterable) or isinstance(callbacks, str):
        got = getattr(callbacks, "__name__", type(callbacks).__name__)
        remedy = f"pass callbacks=[{got}]" if callable(callbacks) else "pass a list"
        raise ValueError(
            f"callbacks: expected a list of functions, got {got}; {remedy}"
        )
    functions = tuple(callbacks)
    for position, function in enumerate(functions):
        if not callable(function) or isinstance(function, type):
            raise ValueError(
                f"callbacks[{position}]: expected a function of one row of the history, got "
                f"{function!r}; pass a function such as lambda row: print(row)"
            )
    return functions


def call(callbacks: Sequence[Callback], run: Run) -> None:
    """Show the last epoch to each of the callbacks, and note in the run whether one stops it.

    Of several processes the first calls them, and all learn what it was told.
    """
    stops = 0.0
    if is_first() and callbacks:
        last = run.history[-1]
        seed = run.options.seed + int(last["epoch"])
        device = next(run.vae.parameters()).device
        with own_seed(seed, device):
            answers = [callback(dict(last)) for callback in callbacks]
        stops = float(any(map(_is_true, answers)))
    run.stopped = bool(mean_over_ranks(torch.tensor(stops)) > 0)


def _is_true(answer: Any) -> bool:
    """Whether it is True of Python or NumPy: a number of written bytes doesn't end a run."""
    return isinstance(answer, bool | np.bool_) and bool(answer)
