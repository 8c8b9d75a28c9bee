"""What every likelihood is: a decoder followed by a family of distributions."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.hooks import ConditionsOnData, HasRepresentative
from pyro_vae.likelihoods.observed_cells import MissingAtRandom
from pyro_vae.likelihoods.parameters import unstacked
from pyro_vae.networks import Shape, autocast
from pyro_vae.registry import Registry

LIKELIHOODS = Registry("likelihood")


class Family(nn.Module):
    """A family of distributions over x, indexed by a decoder's outputs: subclasses have `forward`.

    It is no ABC, since Pyro's `to_pyro_module_` adds a base with a metaclass of its own.

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
        self.data_shape = data_shape
        self.param_shape = param_shape

    @property
    def modelled_size(self) -> int:
        """The numbers in a row that have a density; a size factor, which is given, has none."""
        return math.prod(self.data_shape)

    @property
    def missing_together(self) -> dict[str, list[int]]:
        """Groups of columns, by name, that depend on each other given z: missing as a whole or not.

        None for a family whose cells are independent given z, or that knows their marginals.
        """
        return {}

    def forward(self, raw: Tensor) -> Distribution:
        """The distribution over x for decoder outputs `raw`, shaped (..., *param_shape)."""
        raise NotImplementedError(
            f"{type(self).__name__} needs a method forward(raw) that gives a distribution over x"
        )

    def pyro_vae_start(self, data: Statistics) -> None:
        """Take buffers and initial parameters from the training rows."""

    def independent(self) -> Distribution | None:
        """p(x) with independent columns, from the training rows; None where it isn't known.

        It reads the buffers that `pyro_vae_start` fills, which neither training nor saving and
        loading change.
        """
        return None

    def _outputs(
        self,
        raw: Tensor,
        shape: Shape | None = None,
    ) -> tuple[Tensor, ...]:
        """The decoder's outputs in parts, each with one number for each feature.

        Arguments:
            raw: shaped (..., *param_shape), with param_shape from `stacked`.
            shape: of the features. None: `data_shape`.
        """
        features = self.data_shape if shape is None else shape
        return unstacked(raw, features, self.param_shape)

    def _as_row(self, each: Any) -> Distribution:
        """The distributions of all features as one over rows."""
        row: Distribution = each.to_event(len(self.data_shape))
        return row

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


class Likelihood(nn.Module):
    """p(x | z): `likelihood(z)` gives a distribution with event shape `data_shape`.

    z may have any batch shape: (..., latent_dim).

    Arguments:
        decoder: any module from (n, latent_dim) to n outputs with as many numbers as the family has
            parameters.
        family: the family of distributions.
        missing: of rows with missing cells, nan; None where all cells are there.

    Raises:
        ValueError: when the decoder's output doesn't hold the family's parameters.

    Example:
        >>> from pyro_vae.likelihoods import Bernoulli
        >>> Likelihood(nn.Linear(2, 64), Bernoulli((8, 8)))(torch.zeros(5, 2)).event_shape
        torch.Size([8, 8])
    """

    started: Tensor
    missing: MissingAtRandom | None

    def __init__(
        self,
        decoder: nn.Module,
        family: Family,
        missing: MissingAtRandom | None = None,
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self.family = family
        self.missing = missing
        self.register_buffer("started", torch.tensor(False))

    def pyro_vae_start(self, data: Statistics) -> None:
        """Note that the family, which is a module and starts by itself, has seen training rows."""
        self.started.fill_(True)

    def independent(self) -> Distribution | None:
        """p(x) = ∏ᵢ p(xᵢ) with the moments of the training rows: a model without dependence.

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
        if not bool(self.started):
            return None
        columns = self.family.independent()
        if columns is None or self.missing is None:
            return columns
        return self.missing.independent(columns)

    @property
    def modelled_size(self) -> int:
        """The numbers in a row that have a density: D of bits per dimension."""
        return self.family.modelled_size

    def forward(self, z: Tensor) -> Distribution:
        if not isinstance(z, Tensor):
            raise ValueError(
                f"likelihood: expected a tensor z, got {type(z).__name__}; pass torch.as_tensor(z) "
                "of the model's dtype"
            )
        leading = z.shape[:-1]
        shape = self.family.param_shape
        rows = z.reshape(-1, z.shape[-1])
        raw: Any = autocast(self.decoder, rows)
        self._check_output(raw, math.prod(leading))
        distribution: Distribution = self.family(raw.reshape(*leading, *shape))
        if self.missing is None:
            return distribution
        return self.missing(distribution)

    def _check_output(self, raw: Any, rows: int) -> None:
        """Raise ValueError where the decoder's output is not one set of parameters for each row."""
        shape = self.family.param_shape
        size = math.prod(shape)
        if isinstance(raw, Tensor):
            got: Any = tuple(raw.shape)
            if got[:1] == (rows,) and math.prod(got[1:]) == size:
                return
        else:
            got = type(raw).__name__
        raise ValueError(
            f"decoder: expected {size} numbers for each row for the likelihood "
            f"{type(self.family).__name__} (shape {shape}), got {got} for {rows} rows; "
            "change the decoder's last layer"
        )


def logit_of_mean(mean: Tensor, rows: int | Tensor) -> Tensor:
    """The log odds of a mean in [0, 1], with half a success and half a failure added: finite.

    Arguments:
        mean: of `rows` rows.
        rows: their number, or that of the observed cells per feature.

    Example:
        >>> float(logit_of_mean(torch.tensor(0.5), 10))
        0.0
    """
    return torch.logit((mean * rows + 0.5) / (rows + 1))


def independent_columns(likelihood: nn.Module) -> Distribution | None:
    """p(x) with independent columns, see `Likelihood.independent`; None where it isn't known.

    A likelihood of the user's own is not asked, unless it is a `Likelihood`.
    """
    likelihood = getattr(
        likelihood, "_orig_mod", likelihood
    )  # inside torch.compile's wrapper
    if not isinstance(likelihood, Likelihood):
        return None
    return likelihood.independent()


def given(p: Distribution, x: Tensor) -> Distribution:
    """p(x | z) with what it conditions on taken from the rows x: size factors or totals.

    Draws and means of p itself have one typical size for all rows.

    Example:
        >>> from pyro_vae.likelihoods import Poisson
        >>> row = Poisson((2,), size_factor="column")(torch.zeros(3, 1))
        >>> given(row, torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 5.0]])).mean[:, 0]
        tensor([1., 2., 5.])
    """
    if isinstance(p, ConditionsOnData):
        return p.pyro_vae_given(x)
    return p


def representative(p: Distribution) -> Tensor:
    """What to show of p(x | z): its mean; a category where the numbers are names or an order."""
    if isinstance(p, HasRepresentative):
        return p.pyro_vae_representative()
    mean: Tensor = p.mean
    return mean
