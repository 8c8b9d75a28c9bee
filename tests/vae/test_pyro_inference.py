"""Pyro's algorithms that call a guide differently: sleep phases, compiled SVI, TorchScript."""

from typing import Any

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import CSIS, SVI, JitTrace_ELBO, ReweightedWakeSleep, Trace_ELBO

import pyro_vae as pv

X = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
pytestmark = pytest.mark.param_store


def small(guide: Any = "mean_field") -> pv.VAE:
    return pv.VAE(data_shape=(4,), latent_dim=2, guide=guide)


def test_observations_take_the_place_of_rows() -> None:
    vae = small()
    other = X.flip(0)
    z = torch.randn(20, 2)
    for program, observed in ((vae.guide, {}), (vae.model, {})):
        conditioned = poutine.condition(program, {"z": z})
        expected = poutine.trace(conditioned).get_trace(other).log_prob_sum()
        got = (
            poutine.trace(conditioned)
            .get_trace(X, observations={"x": other})
            .log_prob_sum()
        )
        assert torch.equal(got, expected), observed


@pytest.mark.filterwarnings("ignore:.*parallel.*:UserWarning")
def test_wake_sleep_in_its_sleep_phase() -> None:
    vae = small()
    elbo = ReweightedWakeSleep(
        num_particles=2, insomnia=0.0, num_sleep_particles=2, vectorize_particles=False
    )
    before = [parameter.detach().clone() for parameter in vae.guide.parameters()]
    SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 0.01}), elbo).step(X)
    assert not any(
        torch.equal(p, q) for p, q in zip(vae.guide.parameters(), before, strict=True)
    )


def test_compiled_sequential_importance_sampling() -> None:
    vae = small()
    csis = CSIS(
        vae.model, vae.guide, pyro.optim.Adam({"lr": 0.01}), num_inference_samples=3
    )
    before = [parameter.detach().clone() for parameter in vae.guide.parameters()]
    csis.step(X)
    assert not any(
        torch.equal(p, q) for p, q in zip(vae.guide.parameters(), before, strict=True)
    )
    assert len(csis.run(X, observations={"x": X}).exec_traces) == 3


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize(
    "guide",
    [
        "mean_field",
        "full_rank",
        "low_rank",
        {"kind": "hierarchical", "top_dim": 1},
        {"kind": "flow", "transform": "autoregressive"},
        {"kind": "flow", "transform": "coupling"},
        {"kind": "flow", "transform": "spline"},
    ],
    ids=str,
)
def test_torchscript_gives_the_same_loss(guide: Any) -> None:
    vae = small(guide)
    losses = []
    for elbo in (Trace_ELBO(), JitTrace_ELBO(ignore_jit_warnings=True)):
        elbo.loss_and_grads(
            vae.model, vae.guide, X
        )  # the first call of the second one traces
        torch.manual_seed(0)
        losses.append(elbo.loss_and_grads(vae.model, vae.guide, X))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_what_torchscript_cannot_trace_says_so() -> None:
    vae = small("semi_amortized")
    with pytest.raises(
        ValueError,
        match=r"^guide 'semi_amortized': .* TorchScript and torch.export can't trace; take "
        r"Trace_ELBO",
    ):
        JitTrace_ELBO(ignore_jit_warnings=True).loss_and_grads(vae.model, vae.guide, X)
