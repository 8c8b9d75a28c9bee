"""What every likelihood is: a decoder followed by a family of distributions."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.networks import Shape, autocast
from pyro_vae.registry import Registry

LIKELIHOODS = Registry("likelihood")


class Family(nn.Module):
    """A family of distributions over x, indexed by the numbers that a decoder gives; subclasses
    have `forward`.

    It is no ABC: Pyro's `to_pyro_module_` adds a base with a metaclass of its own.

    Arguments:
        data_shape: shape of one row.
        param_shape: shape of the decoder's output for one row.

    Attributes:
        support: the values x may take, as a torch constraint.
        remedy: what to do when the data lie outside it; ends the error message.
    """

    support: constraints.Constraint
    remedy: ClassVar[str]

    def __init__(self, data_shape: Shape, param_shape: Shape) -> None:
        super().__init__()
        self.data_shape, self.param_shape = data_shape, param_shape

    @property
    def modelled_size(self) -> int:
        """The numbers of a row that have a density; those that are conditioned on, such as a size
        factor, have none.
        """
        return math.prod(self.data_shape)

    def forward(self, raw: Tensor) -> Distribution:
        """The distribution over x for decoder outputs `raw`, shaped (..., *param_shape)."""
        raise NotImplementedError(
            f"{type(self).__name__} needs a method forward(raw) that gives a distribution over x"
        )

    def start_from(self, data: Statistics) -> None:
        """Start at the training data."""

    def independent(self) -> Distribution | None:
        """p(x) with independent columns, from what `start_from` kept of the training rows; None
        where it isn't known.

        It reads buffers only, which neither training nor saving and loading change.
        """
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


class Likelihood(nn.Module):
    """p(x | z): `likelihood(z)` decodes z (..., latent_dim) and gives a distribution with event
    shape `data_shape`.

    Arguments:
        decoder: any module from (n, latent_dim) to n outputs with as many numbers as the family has
            parameters.
        family: the family of distributions.

    Raises:
        ValueError: when the decoder's output doesn't hold the family's parameters.

    Example:
        >>> from pyro_vae.likelihoods import Bernoulli
        >>> Likelihood(nn.Linear(2, 64), Bernoulli((8, 8)))(torch.zeros(5, 2)).event_shape
        torch.Size([8, 8])
    """

    started: Tensor

    def __init__(self, decoder: nn.Module, family: Family) -> None:
        super().__init__()
        self.decoder, self.family = decoder, family
        self.register_buffer("started", torch.tensor(False))

    def start_from(self, data: Statistics) -> None:
        """Note that the family has seen the training rows: it is a module of its own, and starts by
        itself.
        """
        self.started.fill_(True)

    def independent(self) -> Distribution | None:
        """p(x) = ∏ᵢ p(xᵢ) with the moments of the training rows: what a model of no dependence says
        of a row.

        It is of the same family, with one set of parameters for each column, from the moments of
        the training rows (counts: half a count more). A held-out log p(x) below that of this
        distribution is worse than no model.

        Returns:
            A distribution of one row, batch shape (); None before the first `fit`, and for a family
            of the user's that doesn't define `independent`.

        Example:
            >>> from pyro_vae import VAE, fit
            >>> vae, x = VAE(data_shape=(3,), latent_dim=1), torch.randn(100, 3)
            >>> _ = fit(vae, x, epochs=1, validation=None)
            >>> vae.likelihood.independent().log_prob(x).shape
            torch.Size([100])
        """
        return self.family.independent() if bool(self.started) else None

    @property
    def modelled_size(self) -> int:
        """The numbers of a row that have a density: D of the bits per dimension, -log p(x) / (D log
        2).
        """
        return self.family.modelled_size

    def forward(self, z: Tensor) -> Distribution:
        if not isinstance(z, Tensor):
            raise ValueError(
                f"likelihood: expected a tensor z, got {type(z).__name__}; pass torch.as_tensor(z) "
                "of the model's dtype"
            )
        raw: Any = autocast(self.decoder, z.reshape(-1, z.shape[-1]))
        rows, shape = math.prod(z.shape[:-1]), self.family.param_shape
        got = tuple(raw.shape) if isinstance(raw, Tensor) else type(raw).__name__
        if isinstance(got, str) or got[:1] != (rows,) or math.prod(got[1:]) != math.prod(shape):
            raise ValueError(
                f"decoder: expected {math.prod(shape)} numbers a row for the likelihood "
                f"{type(self.family).__name__} (shape {shape}), got {got} for {rows} rows; "
                "change the decoder's last layer"
            )
        distribution: Distribution = self.family(raw.reshape(*z.shape[:-1], *shape))
        return distribution


def logit_of_mean(mean: Tensor, rows: int | Tensor) -> Tensor:
    """The log odds of a mean in [0, 1] over `rows` rows, with half a success and half a failure
    added: always finite.

    Example:
        >>> float(logit_of_mean(torch.tensor(0.5), 10))
        0.0
    """
    return torch.logit((mean * rows + 0.5) / (rows + 1))


def given(p: Distribution, x: Tensor) -> Distribution:
    """p(x | z) with what it conditions on taken from the rows x: their size factors, their totals.

    Draws and means of p itself have one typical size for all rows.

    Example:
        >>> from pyro_vae.likelihoods import Poisson
        >>> row = Poisson((2,), size_factor="column")(torch.zeros(3, 1))
        >>> given(row, torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 5.0]])).mean[:, 0]
        tensor([1., 2., 5.])
    """
    conditioned: Distribution = p.given(x) if hasattr(p, "given") else p
    return conditioned


def representative(p: Distribution) -> Tensor:
    """The row that stands for p(x | z): its mean, and of categories, whose numbers are names, the
    most probable one.
    """
    found: Tensor = p.representative if hasattr(p, "representative") else p.mean
    return found
