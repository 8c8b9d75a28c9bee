"""The default of `evidence` against what is known from outside: closed forms, finite sums,
quadrature.
"""

import numpy as np
import pyro.distributions as dist
import pytest
import scipy.stats
import torch
from torch import Tensor

from pyro_vae import VAE
from pyro_vae.analysis import Evidence, evidence
from pyro_vae.analysis.marginal_likelihood.job import Job
from pyro_vae.analysis.marginal_likelihood.pareto import khat_limit
from pyro_vae.analysis.marginal_likelihood.row_noise import NoiseMaker
from pyro_vae.analysis.marginal_likelihood.row_proposals import (
    RowProposals,
    drawn_from,
)
from pyro_vae.analysis.marginal_likelihood.student_t import RowStudentT
from pyro_vae.analysis.marginal_likelihood.weights import Strata
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian
from pyro_vae.analysis.results.answer import monte_carlo_se
from pyro_vae.guides.pushforward import Pushforward
from pyro_vae.rng import own_seed
from tests import extremes
from tests.analysis.marginal_likelihood import bimodal
from tests.random_bits import all_bits, bernoulli_vae, by_quadrature

TRUTH = LinearGaussian.random()
X = TRUTH.sample(500, seed=1)
EXACT = TRUTH.marginal().log_prob(X).numpy()


def assert_calibrated(found: Evidence, exact: np.ndarray) -> None:
    """Within 3 standard errors on 99 % of rows and within 2 on 93 to 97 %; 2 % are two sd of 500
    rows' share.
    """
    errors = np.abs(found.log_marginal - exact) / found.se
    assert found.trusted.all()
    assert (errors < 3).mean() >= 0.99
    assert 0.93 <= (errors < 2).mean() <= 0.97


# Known answers


@pytest.mark.slow
@pytest.mark.parametrize("guide", ["narrow", "mean_field"])
def test_agrees_with_the_exact_answer(guide: str) -> None:
    vae = TRUTH.vae(widen=0.5) if guide == "narrow" else TRUTH.vae(guide="mean_field")
    assert_calibrated(evidence(vae, X), EXACT)


@pytest.mark.slow
@pytest.mark.parametrize("widen", [0.5, 1.3])
def test_agrees_with_the_exact_answer_in_32_dimensions(widen: float) -> None:
    truth = LinearGaussian.random(data_dim=64, latent_dim=32)
    x = truth.sample(400, seed=1)
    assert_calibrated(
        evidence(truth.vae(widen=widen), x), truth.marginal().log_prob(x).numpy()
    )


def test_agrees_with_quadrature() -> None:
    vae = bernoulli_vae(2, features=6)
    x = all_bits(6)
    found = evidence(vae, x)
    expected = by_quadrature(vae, x, 2)
    assert (np.abs(found.log_marginal - expected) < 3 * found.se)[
        found.trusted
    ].mean() >= 0.97
    assert found.trusted.mean() > 0.98


@pytest.mark.slow
def test_a_posterior_of_two_modes() -> None:
    """One normal isn't enough, which k-hat shows; the other mode is then found among draws of the
    prior.
    """
    vae = bimodal.bimodal_vae()
    x = bimodal.ambiguous(100)
    found = evidence(vae, x)
    exact = bimodal.exact(x)
    plain = evidence(vae, x, proposal="guide")
    errors = np.abs(found.log_marginal - exact) / found.se
    assert (errors < 3).mean() >= 0.97
    assert np.isin(found.method, ["several starts", "more draws"]).mean() > 0.5
    assert found.trusted.mean() >= 0.98
    assert (
        np.abs(plain.log_marginal - exact).max() > 0.2
    )  # and the guide alone misses it


@pytest.mark.slow
@pytest.mark.parametrize("kind", extremes.LIKELIHOODS)
def test_rows_with_a_glitch_are_right_or_untrusted(kind: str) -> None:
    vae = extremes.fitted(kind)
    for glitch in extremes.GLITCHES:
        rows = extremes.with_glitch(kind, glitch)
        found = evidence(vae, rows)
        exact = extremes.by_quadrature(vae, rows)
        off = np.abs(found.log_marginal - exact) > 3 * found.se
        assert not (found.trusted & off).any(), (
            kind,
            glitch,
            found.log_marginal - exact,
        )
        assert found.trusted.all() or glitch > 100


# Unbiasedness, and what a look at the draws costs


@pytest.mark.slow
@pytest.mark.parametrize(("draws", "loss"), [(100, 0.06), (1000, 0.001)])
def test_what_conditioning_on_the_first_estimate_costs(draws: int, loss: float) -> None:
    """Replicates of one row whose second mode the first look hardly sees: those that miss it keep
    their numbers.
    """
    x = bimodal.replicates(2000)
    found = evidence(bimodal.bimodal_vae(), x, num_particles=draws)
    weights = np.exp(found.log_marginal - bimodal.exact(x))
    error = weights.std() / np.sqrt(len(x))
    assert 1 - loss - 4 * error < weights.mean() < 1 + 4 * error
    assert found.retried.mean() > 0.8


def test_first_estimates_are_unbiased(monkeypatch: pytest.MonkeyPatch) -> None:
    """For any number of draws: components are chosen systematically, and each draw follows the
    mixture.
    """
    monkeypatch.setattr(
        "pyro_vae.analysis.marginal_likelihood.automatic._satisfied",
        lambda job, columns: np.ones(len(columns["se"]), bool),
    )
    monkeypatch.setattr("pyro_vae.analysis.marginal_likelihood.starts.NEAR", np.inf)
    x = bimodal.replicates(2000)
    found = evidence(bimodal.bimodal_vae(), x, num_particles=37)
    weights = np.exp(found.log_marginal - bimodal.exact(x))
    assert set(found.method) == {"refined"}
    assert abs(weights.mean() - 1) < 4 * weights.std() / np.sqrt(len(x))


def without_the_guide(
    self: RowProposals, densities: list[Tensor], log_guide: Tensor, log_prior: Tensor
) -> Tensor:
    """Broken: draws of the guide are weighed as if they had been drawn from the others."""
    each = torch.stack(
        [*densities, torch.full_like(densities[0], -torch.inf), log_prior.double()], -1
    )
    return (each + self.shares.log()).logsumexp(-1)


def all_errors_in_one(self: Strata) -> np.ndarray:
    """Broken: the error of draws whose components were chosen at random."""
    total = self.log_sum.logsumexp(1)
    squares = self.log_sum_of_squares.logsumexp(1)
    count = self.count.sum(1)
    ess: Tensor = (2 * total - squares).exp()
    return ((count / ess - 1) / (count - 1)).sqrt().numpy()


@pytest.mark.parametrize(
    ("name", "broken"),
    [("RowProposals._mixed", without_the_guide), ("Strata.se", all_errors_in_one)],
)
@pytest.mark.slow
def test_broken_estimators_are_caught(
    name: str, broken: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = "row_proposals" if name.startswith("Row") else "weights"
    home = f"pyro_vae.analysis.marginal_likelihood.{room}"
    monkeypatch.setattr(f"{home}.{name}", broken)
    with pytest.raises(AssertionError):
        assert_calibrated(evidence(TRUTH.vae(widen=0.5), X), EXACT)


# Each stage


def test_the_exact_posterior_is_taken_as_it_is() -> None:
    found = evidence(TRUTH.vae(), X[:20])
    np.testing.assert_allclose(found.log_marginal, EXACT[:20], rtol=0, atol=1e-9)
    assert (found.method == "guide").all()
    assert found.constant.all()


def test_the_elbo_is_the_guides() -> None:
    vae = TRUTH.vae(widen=1.3)
    found = evidence(vae, X[:200])
    plain = evidence(vae, X[:200], proposal="guide")
    assert (
        abs((found.elbo - plain.elbo).mean()) < 0.02
    )  # 150 and 1000 draws a row of sd 0.7: 0.004
    assert (plain.proposal_elbo == plain.elbo).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [
        {"proposal": "refined"},
        {"retry": "refined"},
        {"proposal": "guide", "retry": "widened"},
    ],
)
def test_the_elbo_stays_the_guides_with_other_proposals(how: dict[str, str]) -> None:
    vae = TRUTH.vae(widen=0.4)
    found = evidence(vae, X[:200], num_particles=400, **how)
    plain = evidence(vae, X[:200], proposal="guide")
    assert (
        abs((found.elbo - plain.elbo).mean()) < 0.05
    )  # 100 and 1000 draws a row of sd 1: 0.007
    assert found.proposal_elbo.mean() > plain.elbo.mean() + 0.1


@pytest.mark.slow
def test_hard_rows_get_more_draws_up_to_the_cap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """16 times as many: 2, 4, 8, 16; then annealing."""
    drawn: list[int] = []
    monkeypatch.setattr(
        "pyro_vae.analysis.marginal_likelihood.automatic._satisfied",
        lambda job, columns: np.zeros(len(columns["se"]), bool),
    )
    monkeypatch.setattr(
        "pyro_vae.analysis.marginal_likelihood.automatic._trusted",
        lambda columns: np.zeros(len(columns["se"]), bool),
    )
    original = Job.__dict__["cap"].fget
    monkeypatch.setattr(
        Job, "cap", property(lambda job: drawn.append(original(job)) or original(job))
    )
    found = evidence(TRUTH.vae(widen=0.5), X[:3], num_particles=50)
    assert set(drawn) == {800}
    assert set(found.method) <= {"annealed", "more draws"}
    assert np.isfinite(found.upper).all() or (found.method == "annealed").any()
    np.testing.assert_allclose(found.log_marginal, EXACT[:3], atol=0.1)


@pytest.mark.slow
def test_annealing_brackets_what_it_leaves_untrusted() -> None:
    """A ring: log p(x, z) depends on |z| alone, in a shell much thinner than any normal."""

    class Ring(torch.nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return 40 * (z.square().sum(-1, keepdim=True) - 4)

    vae = VAE(
        data_shape=(1,),
        latent_dim=2,
        decoder=Ring(),
        likelihood={"kind": "normal", "scale": 1.0},
        guide=dist.Normal(torch.zeros(2), 1.0).to_event(1),
    )
    x = torch.tensor([[0.0], [1.0]])
    found = evidence(vae, x, num_particles=200)
    radius = torch.linspace(0, 10, 2_000_001, dtype=torch.float64)
    for row, value in enumerate((0.0, 1.0)):
        misfit = value - 40 * (radius.square() - 4)
        density = (
            radius
            * (-0.5 * radius.square() - 0.5 * misfit.square()).exp()
            / np.sqrt(2 * np.pi)
        )
        exact = float(torch.trapezoid(density, radius).log())
        assert (
            not found.trusted[row]
            or abs(found.log_marginal[row] - exact) < 4 * found.se[row]
        )
        if not found.trusted[row]:
            assert found.log_marginal[row] < exact + 3
            assert found.upper[row] >= found.log_marginal[row]


def test_an_inverse_autoregressive_flow_is_never_inverted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def inverted(self: Pushforward, z: Tensor) -> tuple[Tensor, Tensor]:
        raise AssertionError("that takes a pass for each dimension")

    vae = VAE(data_shape=(4,), latent_dim=3, guide="flow", hidden_dims=(8,))
    monkeypatch.setattr("pyro_vae.guides.flow.Flowed.pull", inverted)
    found = evidence(vae, torch.zeros(2, 4), num_particles=50)
    assert np.isfinite(found.elbo).all()
    coupled = VAE(
        data_shape=(4,),
        latent_dim=3,
        guide={"kind": "flow", "transform": "coupling"},
        hidden_dims=(8,),
    )
    with pytest.raises(AssertionError):
        evidence(coupled, torch.zeros(2, 4), num_particles=50)


def test_a_guide_over_bounded_numbers_gets_a_share_of_the_prior() -> None:
    prior = dist.Gamma(torch.tensor([2.0, 3.0]), 1.0).to_event(1)
    vae = VAE(
        data_shape=(4,),
        latent_dim=2,
        prior=prior,
        guide=dist.Gamma(torch.tensor([2.5, 2.5]), 1.0).to_event(1),
    )
    found = evidence(
        vae,
        torch.randn(5, 4, generator=torch.Generator().manual_seed(0)),
        num_particles=2000,
    )
    plain = evidence(
        vae,
        torch.randn(5, 4, generator=torch.Generator().manual_seed(0)),
        proposal="guide",
    )
    assert set(found.method) <= {"defensive", "several starts", "more draws"}
    assert (
        np.abs(found.log_marginal - plain.log_marginal)
        < 5 * np.hypot(found.se, plain.se)
    ).all()


class Meanless(torch.nn.Module):
    """A guide whose distribution has no mean and no standard deviation."""

    def forward(self, x: Tensor) -> dist.TransformedDistribution:
        doubled = torch.distributions.AffineTransform(0.0, 0.5, event_dim=1)
        return dist.TransformedDistribution(
            dist.Normal(x[:, :2], 1.0).to_event(1), [doubled]
        )


def test_a_guide_without_moments_is_never_annealed() -> None:
    """With 21 draws k-hat may be 0.24 at most, so that all rows are looked at again."""
    vae = VAE(data_shape=(4,), latent_dim=2, guide=Meanless())
    found = evidence(
        vae,
        torch.randn(5, 4, generator=torch.Generator().manual_seed(0)),
        num_particles=21,
    )
    assert np.isfinite(found.log_marginal).all()
    assert "annealed" not in found.method
    assert found.retried.any()


@pytest.mark.slow
def test_what_another_estimate_contradicts_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An unbiased estimate is 5 nats above log p(x) with probability below exp(-5): then this one
    is too low.
    """
    monkeypatch.setattr(
        "pyro_vae.analysis.marginal_likelihood.starts.NEAR", 0.0
    )  # all rows are looked at again
    vae = TRUTH.vae(widen=0.5)
    assert evidence(vae, X[:3], num_particles=50).retried.all()
    monkeypatch.setattr(
        "pyro_vae.analysis.marginal_likelihood.automatic.CONTRADICTED", -5.0
    )
    assert not evidence(vae, X[:3], num_particles=50).trusted.any()


# Rows and seeds


@pytest.mark.slow
def test_a_row_does_not_depend_on_its_batch() -> None:
    vae = bimodal.bimodal_vae()
    x = bimodal.ambiguous(12)
    found = evidence(vae, x, num_particles=200)
    order = np.random.default_rng(0).permutation(12)
    names = ("log_marginal", "se", "elbo", "ess", "pareto_k")
    for again, rows in (
        (evidence(vae, x[order], num_particles=200), order),
        (evidence(vae, x[:1], num_particles=200), [0]),
    ):
        for name in names:
            np.testing.assert_allclose(
                getattr(again, name), getattr(found, name)[rows], rtol=1e-6, atol=1e-6
            )
        np.testing.assert_array_equal(again.method, found.method[rows])
    chunked = evidence(vae, x, num_particles=200, chunk_size=37)
    for name in names:
        np.testing.assert_allclose(
            getattr(chunked, name), getattr(found, name), rtol=1e-6, atol=1e-6
        )


@pytest.mark.slow
def test_equal_rows_share_their_error() -> None:
    """Four distinct rows among two hundred: the spread over seeds is what is stated."""
    x = TRUTH.sample(4).repeat(50, 1)
    found = [
        evidence(TRUTH.vae(widen=0.5), x, num_particles=50, seed=seed)
        for seed in range(40)
    ]
    spread = np.std([one.log_marginal.mean() for one in found], ddof=1)
    stated = np.mean([one.monte_carlo_se for one in found])
    assert 0.7 < spread / stated < 1.4  # a standard deviation of 40 is known to 11 %
    assert np.isclose(monte_carlo_se(np.full(6, 0.3), np.zeros(6, np.uint64)), 0.3)


def test_the_caller_is_left_as_it_was() -> None:
    vae = TRUTH.vae(widen=0.5).train()
    before = torch.get_rng_state()
    states = {name: value.clone() for name, value in vae.state_dict().items()}
    evidence(vae, X[:3], num_particles=50)
    assert torch.equal(torch.get_rng_state(), before)
    assert vae.training
    assert all(
        torch.equal(value, states[name]) for name, value in vae.state_dict().items()
    )


# The proposals


def test_the_student_t_is_scipys() -> None:
    generator = torch.Generator().manual_seed(0)
    tril = (
        torch.randn(2, 3, 3, generator=generator).tril(-1) + 2 * torch.eye(3)
    ).double()
    loc = torch.randn(2, 3, generator=generator).double()
    z = torch.randn(5, 2, 3, generator=generator).double()
    found = RowStudentT(loc, tril).log_prob(z)
    for row in range(2):
        expected = scipy.stats.multivariate_t(
            loc[row].numpy(), (tril[row] @ tril[row].T).numpy(), df=20
        )
        np.testing.assert_allclose(
            found[:, row], expected.logpdf(z[:, row].numpy()), rtol=1e-10
        )


def test_draws_follow_the_mixture_and_know_their_density() -> None:
    """The shares are 0.8, 0.15 and 0.05, and a draw has the density of its own noise."""
    guide = TRUTH.posterior(X[:3], widen=0.7)
    prior = dist.Normal(torch.zeros(2).double(), 1.0).to_event(1)
    fit = RowStudentT(torch.zeros(3, 2).double(), torch.eye(2).double().expand(3, 2, 2))
    with own_seed(0) as restart:
        pool = prior.sample((4096,))
        proposals = RowProposals.of(
            [fit], torch.ones(3, 1).double(), guide, prior, pool
        )
        noise = NoiseMaker(250, restart, pool, len(pool)).draw([1, 2**40, 3], 0, 2000)
        draws = proposals.draw(noise, drawn_from(guide, noise.normal))
    shares = torch.stack(
        [(draws.component == number).double().mean(0) for number in range(3)], 1
    )
    expected = torch.tensor([[0.8, 0.15, 0.05]]).expand(3, 3)
    np.testing.assert_allclose(shares, expected, atol=2e-3)
    log_proposal = proposals.log_prob_of(draws, prior.log_prob(draws.z))
    np.testing.assert_allclose(log_proposal, proposals.log_prob(draws.z), rtol=1e-9)
    tail = NoiseMaker(250, restart, pool, len(pool)).draw([1, 2**40, 3], 600, 700)
    np.testing.assert_array_equal(tail.uniform, noise.uniform[600:700])


def test_the_limit_of_k_hat() -> None:
    """Vehtari et al. (2024): min(1 - 1 / log10 S, 0.7)."""
    np.testing.assert_allclose(
        khat_limit([100, 1000, 2154, 10_000, 10**6]),
        [0.5, 2 / 3, 0.7, 0.7, 0.7],
        atol=1e-4,
    )


def test_the_summary_names_the_methods() -> None:
    text = evidence(bimodal.bimodal_vae(), bimodal.ambiguous(20)).summary()
    assert "log p(x)" in text
    assert "trusted " in text
    assert "several starts" in text
    assert "seconds" in text
    assert "proposal=" not in text


def test_fewer_draws_than_a_k_hat_takes_come_from_the_guide() -> None:
    assert set(evidence(TRUTH.vae(widen=0.5), X[:3], num_particles=20).method) == {
        "importance"
    }
    assert set(evidence(TRUTH.vae(widen=0.5), X[:3], num_particles=21).method) != {
        "importance"
    }


def test_more_draws_until_the_error_is_small() -> None:
    from pyro_vae import Until

    found = evidence(
        TRUTH.vae(widen=0.5),
        X[:10],
        num_particles=100,
        until=Until(se=0.01, max_particles=12_800),
    )
    assert (found.se <= 0.01).all()
    assert (found.reached == "target").all()
    assert (found.num_particles > 100).any()
