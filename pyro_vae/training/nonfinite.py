"""Numbers that are not finite: where they are from, and what `fit` says of them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyro_vae.data import LoaderRows, Rows
from pyro_vae.data.names import shortened
from pyro_vae.objectives import Terms

FAILURES = (torch.linalg.LinAlgError,)  # type: ignore[attr-defined]
"""What a density raises where its covariance is no longer one."""
SHOWN = 5
KEPT = "the best weights before are kept"


class NotFiniteStep(Exception):
    """A step whose loss or gradient is not finite; the weights are those before it.

    Attributes:
        what: the site or the weights, in words.
        rows: those of the batch that are concerned, (k, *data_shape).
        number: of the batch among those that are made together.
    """

    def __init__(self, what: str, rows: Tensor) -> None:
        super().__init__(what)
        self.what = what
        self.rows = rows
        self.number = 0


class NotFiniteError(ValueError):
    """A training that was ended by numbers that are not finite.

    Attributes:
        problem: what is not finite, and where.
        remedy: what to do.
        rows: the numbers of the rows of x that are concerned, as far as they are known.
    """

    def __init__(self, problem: str, remedy: str, rows: Sequence[int] = ()) -> None:
        self.problem = problem
        self.remedy = remedy
        self.rows = tuple(rows)
        super().__init__(self.with_kept(KEPT))

    def with_kept(self, kept: str) -> str:
        """The message, with what is kept of the training."""
        return f"{self.problem}; {kept}; {self.remedy}"


def require_finite_terms(terms: Terms, batch: Tensor) -> None:
    """Raise `NotFiniteStep` where a term of some row is not finite."""
    sites = {
        "the KL to the prior, site 'z'": terms.rate,
        "log p(x | z), site 'x'": terms.distortion,
        "the objective": terms.loss,
    }
    for what, term in sites.items():
        bad = ~torch.isfinite(term.detach())
        if bool(bad.any()):
            raise NotFiniteStep(what, batch[bad])


def require_finite_gradient(
    named: Sequence[tuple[str, nn.Parameter]], grad_norm: Tensor, batch: Tensor
) -> None:
    """Raise `NotFiniteStep` where a gradient is not finite."""
    if bool(torch.isfinite(grad_norm)):
        return
    bad = [
        name
        for name, parameter in named
        if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all())
    ]
    what = f"the gradient of {shortened(bad)}" if bad else "the norm of the gradient"
    raise NotFiniteStep(what, batch)


def row_numbers(rows: Rows, wanted: Tensor) -> list[int]:
    """The numbers of the rows that equal some of those wanted; none of a DataLoader.

    Arguments:
        rows: all rows.
        wanted: some of them, (k, *data_shape).
    """
    if isinstance(rows, LoaderRows):
        return []
    flat = wanted.flatten(1).nan_to_num()
    found: list[int] = []
    done = 0
    for batch in rows.batches(1024):
        candidates = batch.flatten(1).nan_to_num().to(flat)
        for row in flat:
            equal = (candidates == row).all(1).nonzero().flatten() + done
            found += equal.tolist()
        done += len(batch)
    return sorted(set(found))


def about_rows(numbers: Sequence[int], labels: Sequence[Any] | None = None) -> str:
    """Rows in words, with their labels where they have some beside their numbers.

    Example:
        >>> about_rows([3]), about_rows(range(20))
        ('row 3', 'rows 0, 1, 2, 3, 4, ... (20 rows)')
        >>> about_rows([1], ["first", "second"])
        "row 1 ('second')"
    """
    named = []
    for number in numbers[:SHOWN]:
        label = number if labels is None else labels[number]
        named.append(str(number) if label == number else f"{number} ({label!r})")
    shown = ", ".join(named)
    if len(numbers) > SHOWN:
        shown += f", ... ({len(numbers)} rows)"
    return f"row{'s' if len(numbers) > 1 else ''} {shown}"
