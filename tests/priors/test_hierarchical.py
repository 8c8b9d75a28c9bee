"""Two levels of latent variables as one distribution."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn
from torch.distributions import Distribution

from pyro_vae import VAE
from pyro_vae.data import Statistics
from pyro_vae.hooks import StartsFromData
from pyro_vae.priors import PRIORS, Hierarchical
from pyro_vae.spec import Parts, Spec
from tests.priors.families import build

Z = np.random.default_rng(0).normal(size=(6, 5))
TOPS = sorted(set(PRIORS) - {"flat", "vamp", "hierarchical"})


def hierarchical(
    top: object = "standard_normal", top_dim: int = 2, latent_dim: int = 5
) -> Hierarchical:
    options = {
        "kind": "hierarchical",
        "top_dim": top_dim,
        "top": top,
        "hidden_dims": (6,),
    }
    prior = build("hierarchical", latent_dim, prior=options).double().prior
    assert isinstance(prior, Hierarchical)
    return prior


def test_the_density_is_the_product_of_its_factors() -> None:
    prior = hierarchical()
    loc, raw = prior.net(torch.tensor(Z[:, 3:])).detach().unbind(-2)
    scale = 1e-4 + np.logaddexp(0, raw.numpy())
    exact = norm.logpdf(Z[:, 3:]).sum(1) + norm.logpdf(
        Z[:, :3], loc.numpy(), scale
    ).sum(1)
    np.testing.assert_allclose(
        prior().log_prob(torch.tensor(Z)).detach(), exact, rtol=1e-10
    )


@pytest.mark.parametrize("top", TOPS)
def test_the_top_level_may_be_any_prior(top: str) -> None:
    prior = hierarchical(top)
    z = torch.tensor(Z)
    exact = prior.top().log_prob(z[:, 3:]) + prior.conditional(z[:, 3:]).log_prob(
        z[:, :3]
    )
    torch.testing.assert_close(prior().log_prob(z), exact)
    assert prior().has_rsample == prior.top().has_rsample
    torch.manual_seed(0)
    whole = prior().sample(torch.Size([4]))
    torch.manual_seed(0)
    assert torch.equal(whole[:, 3:], prior.top().sample(torch.Size([4])))


def test_there_may_be_three_levels() -> None:
    prior = hierarchical(
        {"kind": "hierarchical", "top_dim": 1, "top": "laplace"}, top_dim=3
    )
    middle = prior.top
    z = torch.tensor(Z)
    assert isinstance(middle, Hierarchical)
    levels = (
        middle.top().log_prob(z[:, 4:]),
        middle.conditional(z[:, 4:]).log_prob(z[:, 2:4]),
        prior.conditional(z[:, 2:]).log_prob(z[:, :2]),
    )
    torch.testing.assert_close(prior().log_prob(z), sum(levels))


def test_the_description_goes_round() -> None:
    options = {
        "kind": "hierarchical",
        "top_dim": 2,
        "top": {"kind": "flow", "transform": "spline", "hidden_dims": [4]},
    }
    spec = Spec(data_shape=(4,), latent_dim=5, prior=options)
    assert Spec.model_validate(spec.model_dump(mode="json")) == spec
    assert spec.prior.top.transforms == 8
    assert "hierarchical" in str(Spec.model_json_schema())


@pytest.mark.parametrize(("top_dim", "latent_dim"), [(5, 5), (6, 5), (1, 1)])
def test_something_has_to_be_left_for_the_first_level(
    top_dim: int, latent_dim: int
) -> None:
    with pytest.raises(
        ValueError, match=f"top_dim below latent_dim = {latent_dim}, got {top_dim}"
    ):
        Hierarchical(latent_dim, top_dim=top_dim)


class Blocks(nn.Module):
    """A guide over (z₁, z₂) that shows q(z₂ | x)."""

    def __init__(self, top_dim: int) -> None:
        super().__init__()
        self.top_dim = top_dim
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> Distribution:
        loc = self.head(x)
        q = torch.distributions.Independent(torch.distributions.Normal(loc, 0.5), 1)
        top = torch.distributions.Independent(
            torch.distributions.Normal(loc[:, -self.top_dim :], 0.5), 1
        )
        q.pyro_vae_top = lambda: top
        return q


def with_vamp(guide: nn.Module | dict[str, object]) -> VAE:
    prior = {
        "kind": "hierarchical",
        "top_dim": 2,
        "top": {"kind": "vamp", "pseudo_inputs": 3},
        "hidden_dims": (6,),
    }
    return VAE(
        data_shape=(4,), latent_dim=5, likelihood="bernoulli", prior=prior, guide=guide
    ).double()


def test_a_vamp_on_top_mixes_the_top_of_the_guide() -> None:
    vae = with_vamp(Blocks(2))
    z = torch.tensor(Z)
    top = vae.prior.top
    loc = vae.posterior.head(top.pseudo_inputs)[:, -2:].detach()
    each = norm.logpdf(Z[:, None, 3:], loc.numpy(), 0.5).sum(-1)
    exact = np.logaddexp.reduce(each - np.log(3), 1)
    np.testing.assert_allclose(top().log_prob(z[:, 3:]).detach(), exact, rtol=1e-10)
    conditional = vae.prior.conditional(z[:, 3:]).log_prob(z[:, :3]).detach()
    np.testing.assert_allclose(
        vae.prior().log_prob(z).detach(), exact + conditional.numpy(), rtol=1e-10
    )


def test_parts_inside_get_the_model_and_the_data() -> None:
    vae = with_vamp(Blocks(2))
    rows = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4)))
    summary = Statistics(
        16, rows.double().mean(0), rows.double().std(0, correction=0), rows
    )
    for module in vae.modules():
        if isinstance(module, StartsFromData):
            module.pyro_vae_start(summary)
    torch.testing.assert_close(vae.prior.top.pseudo_inputs.float(), rows[:3])


@pytest.mark.parametrize(
    "guide", ["mean_field", Blocks(1)], ids=["no top", "another top_dim"]
)
def test_a_vamp_on_top_needs_a_guide_that_fits(guide: str | nn.Module) -> None:
    with pytest.raises(
        ValueError, match=r"vamp: expected of the guide.* take the guide 'hierarchical'"
    ):
        with_vamp(guide)


def test_a_vamp_beside_a_guide_in_blocks_mixes_the_whole_of_it() -> None:
    vae = VAE(
        data_shape=(4,),
        latent_dim=5,
        prior={"kind": "vamp", "pseudo_inputs": 3},
        guide=Blocks(2),
    )
    assert vae.prior().sample().shape == (5,)


def test_symbols() -> None:
    assert (
        hierarchical("laplace").extra_repr()
        == "z₁ ~ N(μ(z₂), diag σ(z₂)²), z₂ as z ~ Laplace(0, b)"
    )


def test_parts_need_not_come_from_a_vae() -> None:
    prior = Hierarchical(5, top_dim=2, top={"kind": "vamp", "pseudo_inputs": 3})
    with pytest.raises(ValueError, match="vamp needs a guide"):
        prior()
    vae = VAE(data_shape=(4,), latent_dim=5, guide=Blocks(2))
    prior.top.pyro_vae_bind(Parts(prior, vae.likelihood, vae.posterior))
    assert prior().log_prob(torch.zeros(5)).isfinite()
