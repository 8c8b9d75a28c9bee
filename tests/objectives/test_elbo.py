"""`ELBO` against Pyro's objectives, what holds for rows and particles, and what is refused."""

from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae import ELBO, VAE
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian
from pyro_vae.objectives import Terms

ROWS = 5
FEATURES = 6
LATENT = 3
Program = Callable[..., Any]
LIKELIHOODS = {
    "normal": {"kind": "normal"},
    "bernoulli": {"kind": "bernoulli"},
    "binomial": {"kind": "binomial", "total_count": 4},
}
PYROS = {"monte_carlo": Trace_ELBO, "analytic": TraceMeanField_ELBO}

every_kl = pytest.mark.parametrize("kl", PYROS)
few_and_many_particles = pytest.mark.parametrize("particles", [1, 7])


def a_vae(likelihood: str = "normal", **options: Any) -> VAE:
    options = {"likelihood": LIKELIHOODS[likelihood], "hidden_dims": (8,)} | options
    return VAE(data_shape=(FEATURES,), latent_dim=LATENT, **options).double()


def rows(likelihood: str = "normal", n: int = ROWS) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    if likelihood == "normal":
        return torch.randn(n, FEATURES, generator=generator, dtype=torch.float64)
    count = LIKELIHOODS[likelihood].get("total_count", 1)
    return torch.randint(0, count + 1, (n, FEATURES), generator=generator).double()


# An ordinary user's program: a chain of two latent variables, networks that are plain modules.


class Chain(nn.Module):
    """p(a) p(b | a) p(x | b) with a guide q(a | x) q(b | a, x)."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.b_given_a = nn.Linear(2, LATENT)
        self.x_given_b = nn.Linear(LATENT, FEATURES)
        self.a_given_x = nn.Linear(FEATURES, 4)
        self.b_given_ax = nn.Linear(FEATURES + 2, 2 * LATENT)
        self.log_scale = nn.Parameter(torch.tensor(-0.3))
        for parameter in self.parameters():
            parameter.data = 0.5 * torch.randn(
                parameter.shape, generator=generator, dtype=torch.float64
            )

    def model(self, x: Tensor) -> None:
        zero = torch.zeros(2, dtype=torch.float64)
        with pyro.plate("rows", len(x)):
            a = pyro.sample("a", dist.Normal(zero, 1.0).to_event(1))
            b = pyro.sample(
                "b",
                dist.Normal(self.b_given_a(a).tanh(), self.log_scale.exp()).to_event(1),
            )
            loc = pyro.deterministic("loc", self.x_given_b(b), event_dim=1)
            pyro.sample("x", dist.Normal(loc, 0.7).to_event(1), obs=x)

    def guide(self, x: Tensor) -> None:
        with pyro.plate("rows", len(x)):
            loc, raw = self.a_given_x(x).chunk(2, -1)
            a = pyro.sample("a", dist.Normal(loc, raw.exp()).to_event(1))
            wide = x.expand(*a.shape[:-1], FEATURES)
            loc, raw = self.b_given_ax(torch.cat([wide, a], -1)).chunk(2, -1)
            pyro.sample("b", dist.Normal(loc, raw.exp()).to_event(1))


# The same numbers and gradients as Pyro's


def gradients(loss: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
    return list(torch.autograd.grad(loss, parameters))


def assert_equals_pyro(
    pair: tuple[Program, Program], parts: nn.Module, x: Tensor, kl: str, particles: int
) -> Terms:
    """Loss (Pyro's is a sum over rows) and all gradients, from one seed, up to rounding."""
    model, guide = pair
    parameters = list(parts.parameters())
    theirs = PYROS[kl](
        num_particles=particles, vectorize_particles=particles > 1, max_plate_nesting=1
    )
    torch.manual_seed(0)
    with pyro.settings.context(module_local_params=True):
        expected = theirs.differentiable_loss(model, guide, x)
    torch.manual_seed(0)
    terms = ELBO(kl=kl, num_particles=particles)(model, guide, x)
    found = -terms.elbo.sum()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    for ours, pyros in zip(
        gradients(found, parameters), gradients(expected, parameters), strict=True
    ):
        assert pyros.abs().max() > 0
        torch.testing.assert_close(ours, pyros, rtol=1e-9, atol=1e-11)
    return terms


@every_kl
@few_and_many_particles
@pytest.mark.parametrize("guide", ["mean_field", "full_rank"])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_equals_pyros_objective(
    likelihood: str, guide: str, kl: str, particles: int
) -> None:
    vae = a_vae(likelihood, guide=guide)
    terms = assert_equals_pyro(
        (vae.model, vae.guide), vae, rows(likelihood), kl, particles
    )
    assert terms.kl == {"z": kl}
    assert terms.rate.shape == terms.distortion.shape == terms.elbo.shape == (ROWS,)


@every_kl
@few_and_many_particles
def test_equals_pyros_objective_on_a_users_program_with_two_latents(
    kl: str, particles: int
) -> None:
    chain = Chain()
    terms = assert_equals_pyro((chain.model, chain.guide), chain, rows(), kl, particles)
    assert terms.kl == {"a": kl, "b": kl}


def scaled(program: Program) -> Program:
    return poutine.scale(program, scale=2.5)


def masked(program: Program) -> Program:
    return poutine.mask(program, mask=torch.tensor([True, False, True, True, False]))


def scaled_twice(program: Program) -> Program:
    return poutine.scale(scaled(program), scale=torch.tensor(0.1, dtype=torch.float64))


@every_kl
@few_and_many_particles
@pytest.mark.parametrize("handler", [scaled, scaled_twice, masked])
def test_scales_and_masks_like_pyro(
    handler: Callable[[Program], Program], kl: str, particles: int
) -> None:
    vae = a_vae()
    x = rows()
    assert_equals_pyro((handler(vae.model), handler(vae.guide)), vae, x, kl, particles)


@every_kl
@pytest.mark.parametrize("part", ["model", "guide"])
def test_scales_one_of_the_two_programs_like_pyro(part: str, kl: str) -> None:
    vae = a_vae()
    x = rows()
    pair = {"model": vae.model, "guide": vae.guide}
    pair[part] = scaled(pair[part])
    assert_equals_pyro((pair["model"], pair["guide"]), vae, x, kl, 1)


@every_kl
@few_and_many_particles
def test_a_plate_over_more_rows_than_the_batch_scales_like_pyro(
    kl: str, particles: int
) -> None:
    vae = a_vae()
    x = rows()

    def model(x: Tensor) -> None:
        with pyro.plate("data", 100, subsample_size=len(x)):
            pyro.sample("x", vae.likelihood(pyro.sample("z", vae.prior())), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", 100, subsample_size=len(x)):
            pyro.sample("z", vae.posterior(x))

    assert_equals_pyro((model, guide), vae, x, kl, particles)


def test_a_mask_silences_its_rows_and_no_others() -> None:
    vae = a_vae()
    x = rows()
    torch.manual_seed(0)
    plain = ELBO()(vae.model, vae.guide, x)
    torch.manual_seed(0)
    quiet = ELBO()(masked(vae.model), masked(vae.guide), x)
    kept = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(quiet.rate, plain.rate * kept)
    torch.testing.assert_close(quiet.distortion, plain.distortion * kept)


def test_rate_of_several_sites_is_their_sum() -> None:
    """KL(q(a) ‖ p(a)) + KL(q(b | a) ‖ p(b | a)) by hand, at the objective's draw of a."""
    chain = Chain()
    x = rows()
    torch.manual_seed(0)
    terms = ELBO(kl="analytic")(chain.model, chain.guide, x)
    torch.manual_seed(0)
    q = poutine.trace(chain.guide).get_trace(x)
    p = poutine.trace(poutine.replay(chain.model, q)).get_trace(x)
    rates = [
        torch.distributions.kl_divergence(q.nodes[site]["fn"], p.nodes[site]["fn"])
        for site in "ab"
    ]
    torch.testing.assert_close(terms.rate, rates[0] + rates[1])
    torch.testing.assert_close(terms.distortion, -p.nodes["x"]["fn"].log_prob(x))


def test_several_observed_sites_add_up() -> None:
    vae = a_vae()
    x = rows()

    def twice(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", vae.prior())
            pyro.sample("x", vae.likelihood(z), obs=x)
            pyro.sample("again", vae.likelihood(z), obs=x)

    torch.manual_seed(0)
    once = ELBO()(vae.model, vae.guide, x)
    torch.manual_seed(0)
    both = ELBO()(twice, vae.guide, x)
    torch.testing.assert_close(both.distortion, 2 * once.distortion)
    torch.testing.assert_close(both.rate, once.rate)


# Which KL


class Normals(nn.Module):
    """A prior that is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.ones(LATENT))
        self.raw = nn.Parameter(torch.zeros(LATENT))

    def forward(self) -> Distribution:
        return dist.Normal(self.loc, self.raw.exp()).to_event(1)


def student() -> Distribution:
    return dist.StudentT(5.0, torch.zeros(LATENT), torch.ones(LATENT)).to_event(1)


def mixture() -> Distribution:
    components = dist.Normal(
        torch.tensor([[-1.0], [2.0]]).expand(2, LATENT), torch.ones(2, LATENT)
    ).to_event(1)
    return dist.MixtureSameFamily(dist.Categorical(torch.ones(2)), components)


CLOSED = {
    "standard_normal": lambda: "standard_normal",
    "normal": lambda: dist.Normal(torch.ones(LATENT), 2.0).to_event(1),
    "multivariate_normal": lambda: dist.MultivariateNormal(
        torch.ones(LATENT), 2 * torch.eye(LATENT)
    ),
    "learned": Normals,
}
SAMPLED = {"student": student, "mixture": mixture}


@pytest.mark.parametrize("guide", ["mean_field", "full_rank", "delta"])
@pytest.mark.parametrize("prior", CLOSED)
@few_and_many_particles
def test_auto_takes_the_closed_form_where_there_is_one(
    prior: str, guide: str, particles: int
) -> None:
    vae = a_vae(prior=CLOSED[prior](), guide=guide)
    x = rows()
    for kl in ("auto", "analytic"):
        terms = ELBO(kl=kl, num_particles=particles)(vae.model, vae.guide, x)
        assert terms.kl == {"z": "analytic"}
        exact = torch.distributions.kl_divergence(
            vae.posterior(x), vae.prior().expand((ROWS,))
        )
        torch.testing.assert_close(terms.rate, exact)


@pytest.mark.parametrize("guide", ["mean_field", "full_rank"])
@pytest.mark.parametrize("prior", SAMPLED)
@few_and_many_particles
def test_auto_says_so_when_it_samples(prior: str, guide: str, particles: int) -> None:
    vae = a_vae(prior=SAMPLED[prior](), guide=guide)
    x = rows()
    found = []
    for kl in ("auto", "monte_carlo"):
        torch.manual_seed(0)
        found.append(ELBO(kl=kl, num_particles=particles)(vae.model, vae.guide, x))
    assert found[0].kl == found[1].kl == {"z": "monte_carlo"}
    assert torch.equal(found[0].rate, found[1].rate)


@pytest.mark.parametrize("guide", ["mean_field", "full_rank"])
@pytest.mark.parametrize("prior", SAMPLED)
def test_analytic_raises_where_there_is_no_closed_form(prior: str, guide: str) -> None:
    vae = a_vae(prior=SAMPLED[prior](), guide=guide)
    with pytest.raises(
        ValueError,
        match=r"site 'z': no closed-form KL .*; take kl='auto' or 'monte_carlo'",
    ):
        ELBO(kl="analytic")(vae.model, vae.guide, rows())


def test_each_site_says_for_itself() -> None:
    chain = Chain()
    x = rows()

    def model(x: Tensor) -> None:
        with pyro.plate("rows", len(x)):
            a = pyro.sample(
                "a",
                dist.StudentT(5.0, torch.zeros(2, dtype=torch.float64), 1.0).to_event(
                    1
                ),
            )
            b = pyro.sample("b", dist.Normal(chain.b_given_a(a), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(chain.x_given_b(b), 0.7).to_event(1), obs=x)

    assert ELBO()(model, chain.guide, x).kl == {"a": "monte_carlo", "b": "analytic"}
    with pytest.raises(ValueError, match="site 'a': no closed-form KL"):
        ELBO(kl="analytic")(model, chain.guide, x)


@pytest.mark.parametrize("kl", ["auto", "analytic", "monte_carlo"])
def test_a_point_pays_the_priors_density_at_its_place(kl: str) -> None:
    """delta with N(0, I): rate = -log p(code), a penalty on the norm of the code."""
    vae = a_vae(guide="delta")
    x = rows()
    terms = ELBO(kl=kl)(vae.model, vae.guide, x)
    code = vae.posterior(x).mean
    expected = 0.5 * code.square().sum(1) + LATENT / 2 * torch.log(
        torch.tensor(2 * torch.pi)
    )
    torch.testing.assert_close(terms.rate, expected, check_dtype=False)
    torch.testing.assert_close(terms.distortion, -vae.likelihood(code).log_prob(x))


# What it refuses


def coin(logits: Tensor) -> tuple[Program, Program]:
    """A latent coin for each row: its KL has a closed form, its draw no gradient."""

    def model(x: Tensor) -> None:
        with pyro.plate("rows", len(x)):
            z = pyro.sample("z", dist.Bernoulli(torch.tensor(0.5)))
            pyro.sample(
                "x",
                dist.Normal(z.unsqueeze(-1), 1.0)
                .expand((len(x), FEATURES))
                .to_event(1),
                obs=x,
            )

    def guide(x: Tensor) -> None:
        with pyro.plate("rows", len(x)):
            pyro.sample("z", dist.Bernoulli(logits=logits))

    return model, guide


@pytest.mark.parametrize("kl", ["auto", "analytic", "monte_carlo"])
def test_refuses_a_guide_that_has_no_gradient(kl: str) -> None:
    """With a closed-form KL as well: the gradient of the distortion would be lost."""
    with pytest.raises(
        ValueError, match="site 'z': Bernoulli can't be reparameterised"
    ):
        ELBO(kl=kl)(*coin(torch.zeros(ROWS, requires_grad=True)), rows())


class Mixture(nn.Module):
    """Two normals for each row: a density without a reparameterised draw."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(FEATURES, 2 * LATENT)

    def forward(self, x: Tensor) -> Distribution:
        components = dist.Normal(self.head(x).unflatten(-1, (2, LATENT)), 1.0).to_event(
            1
        )
        return dist.MixtureSameFamily(
            dist.Categorical(torch.ones(len(x), 2)), components
        )


@pytest.mark.parametrize("kl", ["auto", "analytic", "monte_carlo"])
def test_refuses_a_users_guide_without_rsample(kl: str) -> None:
    vae = a_vae(guide=Mixture())
    with pytest.raises(
        ValueError, match="site 'z': MixtureSameFamily can't be reparameterised"
    ):
        ELBO(kl=kl)(vae.model, vae.guide, rows())


@pytest.mark.parametrize("particles", [0, -1])
def test_refuses_less_than_one_particle(particles: int) -> None:
    with pytest.raises(
        ValueError,
        match=f"num_particles: expected an integer of at least 1, got {particles}",
    ):
        ELBO(num_particles=particles)


def test_refuses_a_guide_of_another_model() -> None:
    vae = a_vae()
    chain = Chain()
    with pytest.raises(
        ValueError,
        match=r"guide: expected the latent sites of the model, \['z'\], got \['a', 'b'\]",
    ):
        ELBO()(vae.model, chain.guide, rows())


def test_refuses_a_guide_that_forgets_a_site() -> None:
    chain = Chain()
    with pytest.raises(
        ValueError, match=r"latent sites of the model, \['a', 'b'\], got \['a'\]"
    ):
        ELBO()(chain.model, poutine.block(chain.guide, hide=["b"]), rows())


@few_and_many_particles
def test_refuses_a_latent_that_all_rows_share(particles: int) -> None:
    """Its KL belongs to no row: counted in each of them it would weigh too much."""

    def model(x: Tensor) -> None:
        shared = pyro.sample("shared", dist.Normal(0.0, 1.0))
        with pyro.plate("rows", len(x)):
            pyro.sample(
                "x",
                dist.Normal(shared.unsqueeze(-1) + torch.zeros(FEATURES), 1.0).to_event(
                    1
                ),
                obs=x,
            )

    def guide(x: Tensor) -> None:
        pyro.sample("shared", dist.Normal(torch.zeros(()), 2.0))

    with pytest.raises(
        ValueError,
        match=r"site 'shared': expected one log density a row, .* in the plate over rows",
    ):
        ELBO(num_particles=particles)(model, guide, rows())


def test_refuses_features_that_are_rows_of_their_own() -> None:
    """A plate over features leaves a matrix of log densities, whose mean is no distortion."""

    def model(x: Tensor) -> None:
        with pyro.plate("rows", len(x), dim=-2):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            with pyro.plate("features", FEATURES, dim=-1):
                pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("rows", len(x), dim=-2):
            pyro.sample("z", dist.Normal(0.0, 1.0))

    with pytest.raises(
        ValueError,
        match=r"expected one log density a row, shape \(5,\), got .* \.to_event",
    ):
        ELBO()(model, guide, rows())


def test_deterministic_values_are_no_latents() -> None:
    """A value the guide or the model notes down changes nothing."""
    vae = a_vae()
    x = rows()

    def guide(x: Tensor) -> None:
        pyro.deterministic("norm", vae.guide(x).norm())

    torch.manual_seed(0)
    plain = ELBO()(vae.model, vae.guide, x)
    torch.manual_seed(0)
    noted = ELBO()(vae.model, guide, x)
    assert noted.kl == {"z": "analytic"}
    assert torch.equal(noted.elbo, plain.elbo)


# One number a row, whatever stands beside it


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@few_and_many_particles
def test_a_rows_terms_do_not_depend_on_its_batch(
    likelihood: str, particles: int
) -> None:
    """A point as guide has no noise: a row has the same terms alone, in a pair, in the batch."""
    vae = a_vae(likelihood, guide="delta")
    x = rows(likelihood)
    objective = ELBO(num_particles=particles)
    together = objective(vae.model, vae.guide, x)
    for start, stop in ((0, 1), (3, 4), (1, 3)):
        part = objective(vae.model, vae.guide, x[start:stop])
        torch.testing.assert_close(
            part.rate, together.rate[start:stop], rtol=1e-12, atol=0
        )
        torch.testing.assert_close(
            part.distortion, together.distortion[start:stop], rtol=1e-12, atol=0
        )


@pytest.mark.parametrize("guide", ["mean_field", "full_rank"])
def test_a_rows_rate_does_not_depend_on_its_batch(guide: str) -> None:
    vae = a_vae(guide=guide)
    x = rows()
    together = ELBO()(vae.model, vae.guide, x).rate
    alone = torch.cat([ELBO()(vae.model, vae.guide, row).rate for row in x.split(1)])
    torch.testing.assert_close(alone, together, rtol=1e-12, atol=0)


def test_a_rows_distortion_does_not_depend_on_its_batch_on_average() -> None:
    """4000 copies of each of two rows, in one batch and apart."""
    vae = a_vae()
    x = rows(n=2)
    copies = 4000
    torch.manual_seed(0)
    with torch.no_grad():
        mixed = ELBO()(vae.model, vae.guide, x.repeat(copies, 1)).distortion.unflatten(
            0, (copies, 2)
        )
        apart = [
            ELBO()(vae.model, vae.guide, row.expand(copies, -1)).distortion for row in x
        ]
    apart = torch.stack(apart, 1)
    standard_error = ((mixed.var(0) + apart.var(0)) / copies).sqrt()
    assert ((mixed.mean(0) - apart.mean(0)).abs() < 5 * standard_error).all()


def test_with_the_exact_posterior_a_row_has_one_elbo_in_every_batch() -> None:
    truth = LinearGaussian.random()
    vae = truth.vae()
    x = truth.sample(ROWS)
    objective = ELBO(kl="monte_carlo")
    together = objective(vae.model, vae.guide, x).elbo
    alone = torch.cat([objective(vae.model, vae.guide, row).elbo for row in x.split(1)])
    torch.testing.assert_close(alone, together, rtol=1e-12, atol=1e-12)


@every_kl
def test_particles_are_averaged(kl: str) -> None:
    """7 particles of one row give the mean of the same 7 draws made as 7 rows."""
    vae = a_vae()
    x = rows(n=1)
    torch.manual_seed(0)
    as_particles = ELBO(kl=kl, num_particles=7)(vae.model, vae.guide, x)
    torch.manual_seed(0)
    as_rows = ELBO(kl=kl)(vae.model, vae.guide, x.expand(7, -1))
    torch.testing.assert_close(as_particles.rate, as_rows.rate.mean(0, keepdim=True))
    torch.testing.assert_close(
        as_particles.distortion, as_rows.distortion.mean(0, keepdim=True)
    )


# Nothing else changes


@pytest.mark.parametrize("before", [False, True])
def test_leaves_pyros_settings_and_store_alone(before: bool) -> None:
    vae = a_vae()
    x = rows()
    with pyro.settings.context(module_local_params=before):
        ELBO(num_particles=2)(vae.model, vae.guide, x).elbo.sum().backward()
        assert pyro.settings.get("module_local_params") is before
        with pytest.raises(ValueError, match="reparameterised"):
            ELBO()(*coin(torch.zeros(ROWS)), x)
        assert pyro.settings.get("module_local_params") is before
    assert len(pyro.get_param_store()) == 0


@pytest.mark.param_store
def test_ignores_what_pyros_store_holds_under_the_same_name() -> None:
    """A stale entry of the store does not reach the objective, nor the parameters."""
    vae = a_vae()
    x = rows()
    torch.manual_seed(0)
    expected = ELBO()(vae.model, vae.guide, x)
    weights = [p.detach().clone() for p in vae.parameters()]
    for program in (vae.model, vae.guide):
        for name, parameter in program.named_parameters():
            first, _, rest = name.partition(".")
            pyro.param(
                f"{program._pyro_name}.{first}$$${rest}", torch.zeros_like(parameter)
            )
    torch.manual_seed(0)
    found = ELBO()(vae.model, vae.guide, x)
    assert torch.equal(found.elbo, expected.elbo)
    assert all(
        torch.equal(p, w) for p, w in zip(vae.parameters(), weights, strict=True)
    )


def test_three_models_in_turn_each_get_their_own_gradient() -> None:
    x = rows()
    models = [a_vae(seed=seed) for seed in range(3)]
    for vae in models:
        ELBO()(vae.model, vae.guide, x).elbo.sum().backward()
    norms = [sum(p.grad.norm() for p in vae.parameters()) for vae in models]
    assert all(norm > 0 for norm in norms)
    assert len({float(norm) for norm in norms}) == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@few_and_many_particles
@every_kl
def test_keeps_the_type_of_the_model(
    kl: str, particles: int, dtype: torch.dtype
) -> None:
    vae = a_vae().to(dtype)
    terms = ELBO(kl=kl, num_particles=particles)(vae.model, vae.guide, rows().to(dtype))
    assert terms.rate.dtype == terms.distortion.dtype == terms.elbo.dtype == dtype
