"""The sleep phase: the guide learns from rows that the model draws, and the model is fixed."""

import numpy as np
import pytest
import torch

from pyro_vae import VAE
from pyro_vae.training import fit
from tests.training.small import X, same, small, weights, without_clock

RUN = {"epochs": 3, "batch_size": 16, "validation": 10}


def parts(vae, role):
    return {
        name: value for name, value in weights(vae).items() if name.startswith(role)
    }


def test_only_the_guide_changes():
    awake, slept = (
        fit(small(), X, **RUN, lr=1e-2, sleep_share=share) for share in (0, 6.5)
    )
    assert same(parts(awake.vae, "model"), parts(slept.vae, "model"))
    assert not same(parts(awake.vae, "guide"), parts(slept.vae, "guide"))
    assert without_clock(awake.history) == without_clock(slept.history)
    assert all(parameter.requires_grad for parameter in slept.vae.parameters())
    assert not slept.vae.training


def test_it_never_ends_worse_on_the_validation_rows():
    awake, slept = fit(small(), X, **RUN), fit(small(), X, **RUN, sleep_share=1.5)
    assert [row["epoch"] for row in slept.slept] == [1, 2, 3, 4, 5]
    assert slept.elbo == max([awake.elbo, *(row["val_elbo"] for row in slept.slept)])
    assert slept.elbo >= awake.elbo


def test_one_seed_gives_one_result():
    one, other = (fit(small(), X, **RUN, sleep_share=1) for _ in range(2))
    assert same(weights(one.vae), weights(other.vae))
    assert without_clock(one.slept) == without_clock(other.slept)


def test_without_validation_the_last_epoch_is_kept():
    run = fit(small(), X, epochs=2, sleep_share=1, validation=None)
    assert run.slept[-1].keys() == {"epoch", "loss", "seconds"}
    assert run.elbo == run.history[-1]["elbo"]


def test_a_run_that_was_over_sleeps_the_same_again(tmp_path):
    options = {**RUN, "sleep_share": 1, "checkpoint": tmp_path / "run"}
    whole = fit(small(), X, **options)
    again = fit(small(), X, **options)
    assert same(weights(whole.vae), weights(again.vae))


@pytest.mark.parametrize("options", [{}, {"binarize": "dynamic"}], ids=["bits", "grey"])
def test_drawn_rows_are_of_the_kind_of_the_data(options):
    x = (
        np.random.default_rng(0).random((40, 4))
        if options
        else (X[:40] > 1).astype(np.float32)
    )
    run = fit(small(likelihood="bernoulli"), x, epochs=1, sleep_share=2, **options)
    assert len(run.slept) == 2


def test_a_guide_that_sees_few_rows_comes_near_the_posterior():
    """Linear decoder, normal noise: log p(x) is known, and the rest of the gap is the guide's."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 3, generator=generator) @ torch.randn(
        3, 6, generator=generator
    )
    x = x + 0.5 * torch.randn(400, 6, generator=generator)
    gaps = {}
    for share in (0, 2):
        vae = VAE(
            data_shape=(6,),
            latent_dim=2,
            guide="full_rank",
            hidden_dims=(64,),
            decoder=torch.nn.Linear(2, 6),
            likelihood={"kind": "normal", "scale": "learned"},
        )
        with torch.no_grad():
            vae.likelihood.decoder.weight.copy_(torch.linspace(-1, 1, 12).reshape(6, 2))
            vae.likelihood.decoder.bias.zero_()
        run = fit(
            vae,
            x[:40],
            validation=x[40:],
            epochs=30,
            batch_size=20,
            lr=5e-3,
            sleep_share=share,
        )
        exact = log_density(run.vae, x[40:])
        gaps[share] = exact - run.elbo
    assert gaps[0] > 0.1
    assert gaps[2] < 0.5 * gaps[0]


def log_density(vae, x):
    """Mean log N(x | μ, W Wᵀ + σ² I) of the decoder that is there."""
    with torch.no_grad():
        size = vae.spec.latent_dim
        p = vae.likelihood(torch.cat([torch.zeros(1, size), torch.eye(size)]))
        mean, weight = p.mean[0], (p.mean[1:] - p.mean[0]).T
        covariance = weight @ weight.T + torch.diag(p.variance[0])
        normal = torch.distributions.MultivariateNormal(
            mean.double(), covariance.double()
        )
        return float(normal.log_prob(x.double()).mean())


REFUSED = {
    "a prior made of the guide": {"prior": {"kind": "vamp", "pseudo_inputs": 3}},
}


@pytest.mark.parametrize("fields", REFUSED.values(), ids=REFUSED)
def test_a_model_that_would_change_with_the_guide_is_refused(fields):
    vae = small(**fields)
    with pytest.raises(
        ValueError, match=r"^sleep_share: expected a guide with weights of its own"
    ):
        fit(vae, X, epochs=1, sleep_share=1)
