"""Optional methods of your own modules and distributions, which the library calls by their names.

Each is a `typing.Protocol`: a class has the hook if it has the method, whatever it inherits from.
All names begin with `pyro_vae_`, so that no method of another meaning is called by accident.

    hook                    of which object                     called
    StartsFromData          any module in a model               once, by the first `fit`
    BindsParts              any module in a model               once, when a model is built
    BindsPrograms           any module in a model               the same, with a context
    RefinesProposal         a guide's family                    by each call of the guide
    ConditionsOnData        a distribution p(x | z)             where rows x are compared with it
    HasRepresentative       a distribution p(x | z)             by `reconstruct`
    HasProbabilities        a distribution p(x | z)             by `class_probabilities`
    HasColumnDensities      a distribution p(x | z)             by `anomaly`
    HasObservedDensity      a distribution p(x | z)             where rows have missing cells
    HasConditional          a distribution p(x | z)             by `impute`
    HasMissingMechanism     a likelihood's family               once, when a model is built
    HasTopLevel             a distribution q(z | x)             by the prior "vamp" on a top level

Example:
    A prior that starts where the training rows are:

    >>> import torch
    >>> from torch.distributions import Distribution, Independent, Normal
    >>> from pyro_vae import VAE, fit
    >>> class Shifted(torch.nn.Module):
    ...     def __init__(self) -> None:
    ...         super().__init__()
    ...         self.loc = torch.nn.Parameter(torch.zeros(2))
    ...     def pyro_vae_start(self, statistics: Statistics) -> None:
    ...         self.loc.data.fill_(statistics.mean.mean())
    ...     def forward(self) -> Distribution:
    ...         return Independent(Normal(self.loc, 1.0), 1)
    >>> vae = VAE(data_shape=(3,), latent_dim=2, prior=Shifted())
    >>> _ = fit(vae, 5 + torch.randn(100, 3), epochs=1, lr=1e-6, progress=False)
    >>> vae.prior.loc.round()
    tensor([5., 5.], grad_fn=<RoundBackward0>)
"""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.data import Statistics


class ModelParts(Protocol):
    """The three modules of a model, such as `vae.parts`."""

    @property
    def prior(self) -> nn.Module: ...

    @property
    def likelihood(self) -> nn.Module: ...

    @property
    def posterior(self) -> nn.Module: ...


# Modules


@runtime_checkable
class StartsFromData(Protocol):
    """A module that takes something from the training rows before the first step."""

    def pyro_vae_start(self, statistics: Statistics, /) -> None:
        """Change buffers and parameters in place.

        Arguments:
            statistics: mean, std, median, ... of each feature, shaped `data_shape`, and some rows.
        """


@runtime_checkable
class BindsParts(Protocol):
    """A module that needs the other parts of its model, as a prior that is made of the guide."""

    def pyro_vae_bind(self, parts: ModelParts, /) -> None:
        """Keep what is needed; in a tuple, so that it isn't registered as a submodule again."""


@runtime_checkable
class BindsPrograms(Protocol):
    """A module that needs the other parts of a model whose rows have contexts.

    In a model without a context `pyro_vae_bind` is called instead; with one, a module that has only
    that is refused.
    """

    def pyro_vae_bind_programs(self, model: Any, guide: Any, /) -> None:
        """Keep what is needed; in a tuple, so that it isn't registered as a submodule again.

        Arguments:
            model: `model.p_z(context)` and `model.p_x(z, context)` are p(z | c) and p(x | z, c).
            guide: `guide.q_z(x, context)` is q(z | x, c).
        """


@runtime_checkable
class RefinesProposal(Protocol):
    """A guide's family that looks at the rows again after the encoder has proposed q(z | x)."""

    def pyro_vae_refine(
        self, q: Distribution, x: Tensor, /, *given: Any
    ) -> Distribution:
        """The refined distribution.

        Arguments:
            q: the family's distribution for the features of the rows.
            x: the rows, shaped (n, *data_shape).
            *given: in a model with a context that of the rows, as the encoder gets it.
        """


@runtime_checkable
class HasMissingMechanism(Protocol):
    """A family of which it is known how the value of a cell may decide whether it is missing."""

    def pyro_vae_missing_mechanism(self, direction: Any, /) -> Any:
        """P(missing | x), a `pyro_vae.likelihoods.mechanisms.Mechanism`; None if it isn't known.

        Arguments:
            direction: "any"; or "high" or "low", the values that are missing more often.
        """


# Distributions


@runtime_checkable
class ConditionsOnData(Protocol):
    """A distribution that conditions on something in x, as counts on the total of their row."""

    def pyro_vae_given(self, x: Tensor, /) -> Distribution:
        """The same distribution, whose draws and means take what it conditions on from x."""


@runtime_checkable
class HasRepresentative(Protocol):
    """A distribution whose mean is no sensible reconstruction, as that of category numbers."""

    def pyro_vae_representative(self) -> Tensor:
        """What to show instead of the mean, shaped (*batch_shape, *event_shape)."""


@runtime_checkable
class HasProbabilities(Protocol):
    """A distribution in which some columns are categories."""

    def pyro_vae_probabilities(self) -> dict[int, Tensor]:
        """For each column of categories their probabilities, shaped (*batch_shape, K)."""


@runtime_checkable
class HasColumnDensities(Protocol):
    """A distribution over rows that knows the density of each column."""

    def pyro_vae_column_log_prob(self, x: Tensor, /) -> Tensor:
        """log p of each column, shaped as x; over the columns of a row they sum to its log p."""


@runtime_checkable
class HasObservedDensity(Protocol):
    """A distribution over rows that knows the density of any of its cells: its marginals."""

    def pyro_vae_observed_log_prob(self, x: Tensor, observed: Tensor, /) -> Tensor:
        """log p of the observed cells of each row; 0 where there are none.

        Arguments:
            x: rows, shaped (..., *event_shape), with numbers for the missing cells.
            observed: which cells are observed, shaped as x.
        """


@runtime_checkable
class HasConditional(Protocol):
    """A distribution over rows whose cells depend on each other, which knows their conditionals."""

    def pyro_vae_given_observed(self, x: Tensor, observed: Tensor, /) -> Distribution:
        """p(x_m | x_o, z) of the missing cells given the observed ones: mean, variance, draws.

        Arguments:
            x: rows, which broadcast with (*batch_shape, *event_shape); what stands in missing
                cells is not read.
            observed: which cells are observed, shaped as x.

        Returns:
            A distribution over rows, of which the missing cells are read.
        """


@runtime_checkable
class HasTopLevel(Protocol):
    """A distribution over z = (z₁, z₂) that knows its marginal q(z₂)."""

    def pyro_vae_top(self) -> Distribution | None:
        """The distribution of z₂; None where it has no closed form."""
