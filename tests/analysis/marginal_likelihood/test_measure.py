"""What log p(x) measures: by hand for every likelihood, and by counting or by integration."""

from typing import Any

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.transforms import ExpTransform

from pyro_vae import VAE
from pyro_vae.analysis.marginal_likelihood.measure import Measure, measure_of
from tests.likelihoods.families import CASES, vae

MASSES = {
    "beta_binomial",
    "bernoulli",
    "binomial",
    "categorical",
    "discretized_logistic",
    "multinomial",
    "negative_binomial",
    "ordinal",
    "poisson",
    "zero_inflated_negative_binomial",
    "zero_inflated_poisson",
}
DISCRETE = {"Binomial", "GammaPoisson"}


@pytest.mark.parametrize("name", CASES)
def test_every_likelihood_knows_its_measure(name: str) -> None:
    options, _, rows = CASES[name]
    kind = options["kind"]
    size = rows[0].numel()
    expected = Measure(density=f"0:{size}")
    if kind in MASSES or options.get("name") in DISCRETE:
        expected = Measure(mass=f"0:{size}")
    if options.get("size_factor") == "column":
        expected = Measure(mass=f"0:{size - 1}", given=f"column {size - 1}")
    if kind == "multinomial" or options.get("size_factor") == "total":
        expected = Measure(mass=f"0:{size}", given="the total of each row")
    if kind == "mixed":
        expected = Measure(density="0, 3:5", mass="1:3, 5", given="column 6")
    if name == "mixed, ordinal":
        expected = Measure(density="1", mass="0, 2:5")
    if name == "mixed, full":
        expected = Measure(density="0, 2:4", mass="1")
    assert measure_of(vae(name)) == expected


@pytest.mark.parametrize("name", CASES)
def test_no_mass_is_above_one(name: str) -> None:
    """The word against the numbers; and every number is modelled, save a size factor."""
    rows = CASES[name].rows
    found = measure_of(vae(name))
    assert found is not None
    model = vae(name)
    row = model.likelihood(
        torch.zeros(len(rows), model.spec.latent_dim, dtype=torch.float64)
    )
    if found.kind == "mass":
        assert (row.log_prob(rows) <= 1e-12).all()
    assert found.size == rows[0].numel() - ("column" in found.given)


def test_words() -> None:
    assert (
        str(Measure(mass="0:3", given="the total of each row"))
        == "mass of columns 0:3, given the total of each row"
    )
    assert (
        str(Measure(density="0, 3:5", mass="1"))
        == "density of columns 0, 3:5 and mass of columns 1"
    )
    assert Measure(density="0, 3:5", mass="1").kind == "density and mass"
    assert Measure(density="0, 3:5", mass="1", given="column 2").size == 4


def test_the_total_of_a_group_is_conditioned_on_in_a_table_too() -> None:
    groups = [
        {"columns": [4, 2, 3], "kind": "multinomial"},
        {"columns": "0:2", "kind": "normal"},
    ]
    found = measure_of(
        VAE(
            data_shape=(5,),
            latent_dim=1,
            likelihood={"kind": "mixed", "columns": groups},
        )
    )
    assert found == Measure(density="0:2", mass="2:5", given="the total of columns 2:5")


def test_how_a_table_is_grouped_changes_nothing() -> None:
    one = [{"columns": "0:4", "kind": "normal"}]
    two = [
        {"columns": [3, 1], "kind": "laplace"},
        {"columns": [0, 2], "kind": "student_t"},
    ]
    found = [
        measure_of(VAE(data_shape=(4,), latent_dim=1, likelihood=likelihood))
        for likelihood in (
            "gamma",
            {"kind": "mixed", "columns": one},
            {"kind": "mixed", "columns": two},
        )
    ]
    assert found == [Measure(density="0:4")] * 3


# Likelihoods of the user's own


class _Beside(dist.TorchDistribution):
    """A number and two counts, whose support says which is which."""

    arg_constraints = {}  # noqa: RUF012
    support = constraints.cat(
        [constraints.real, constraints.nonnegative_integer], dim=-1, lengths=[1, 2]
    )

    def __init__(self, mean: Tensor) -> None:
        self.mean_of_row = mean
        super().__init__(mean.shape[:-1], mean.shape[-1:])

    def log_prob(self, value: Tensor) -> Tensor:
        first = dist.Normal(self.mean_of_row[..., 0], 1.0).log_prob(value[..., 0])
        counts = (
            dist.Poisson(self.mean_of_row[..., 1:].exp())
            .log_prob(value[..., 1:])
            .sum(-1)
        )
        return first + counts


class _Silent(dist.Normal):
    """A distribution that doesn't say where its values lie."""

    @property
    def support(self) -> Any:
        raise NotImplementedError


def _mean(z: Tensor) -> Tensor:
    return z.sum(-1, keepdim=True).expand(*z.shape[:-1], 3)


def _two(z: Tensor) -> Any:
    return dist.Categorical(torch.ones(*z.shape[:-1], 3, 2))


def _which(z: Tensor) -> Any:
    return dist.Categorical(torch.ones(*z.shape[:-1], 2))


def _normals(z: Tensor) -> Any:
    return dist.Normal(
        _mean(z)[..., None, :].expand(*z.shape[:-1], 2, 3), 1.0
    ).to_event(1)


def _rates(z: Tensor) -> Any:
    return dist.Poisson(_mean(z).exp()[..., None].expand(*z.shape[:-1], 3, 2))


@pytest.mark.parametrize(
    ("likelihood", "expected"),
    [
        (lambda z: dist.Normal(_mean(z), 1.0).to_event(1), Measure(density="0:3")),
        (lambda z: dist.Poisson(_mean(z).exp()).to_event(1), Measure(mass="0:3")),
        (
            lambda z: dist.Poisson(_mean(z).exp()).to_event(1).mask(True),
            Measure(mass="0:3"),
        ),
        (
            lambda z: dist.Uniform(_mean(z), _mean(z) + 1).to_event(1),
            Measure(density="0:3"),
        ),
        (lambda z: dist.LogNormal(_mean(z), 1.0).to_event(1), Measure(density="0:3")),
        (
            lambda z: dist.TransformedDistribution(
                dist.Normal(_mean(z), 1.0), ExpTransform()
            ).to_event(1),
            Measure(density="0:3"),
        ),
        (lambda z: dist.OneHotCategorical(logits=_mean(z)), Measure(mass="0:3")),
        (
            lambda z: dist.ZeroInflatedPoisson(
                _mean(z).exp(), gate=torch.tensor(0.5)
            ).to_event(1),
            Measure(mass="0:3"),
        ),
        (
            lambda z: dist.Dirichlet(_mean(z).exp()),
            Measure(density="0:3", given="the total of each row"),
        ),
        (
            lambda z: dist.MultivariateNormal(_mean(z), torch.eye(3)),
            Measure(density="0:3"),
        ),
        (
            lambda z: dist.MixtureSameFamily(_which(z), _normals(z)),
            Measure(density="0:3"),
        ),
        (
            lambda z: dist.MixtureSameFamily(_two(z), _rates(z)).to_event(1),
            Measure(mass="0:3"),
        ),
        (lambda z: _Beside(_mean(z)), Measure(density="0", mass="1:3")),
        (lambda z: _Silent(_mean(z), 1.0).to_event(1), None),
        (lambda z: dist.Delta(_mean(z)).to_event(1), None),
        (
            lambda z: dist.ZeroInflatedDistribution(
                dist.Normal(_mean(z), 1.0), gate=torch.tensor(0.5)
            ).to_event(1),
            None,
        ),
        (lambda z: dist.ProjectedNormal(_mean(z)), None),
    ],
)
def test_the_support_of_an_own_distribution_decides(
    likelihood: Any, expected: Measure | None
) -> None:
    assert (
        measure_of(VAE(data_shape=(3,), latent_dim=2, likelihood=likelihood))
        == expected
    )
