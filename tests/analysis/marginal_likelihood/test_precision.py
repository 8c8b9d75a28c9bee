"""Models in 16 bits, and calls inside autocast: float32 results, full precision, or a warning."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import pyro_vae as pv
from pyro_vae.analysis.fitted import as_numpy, warn_of_half

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))


def fitted() -> pv.VAE:
    vae = pv.VAE(data_shape=(4,), latent_dim=2, hidden_dims=(16,))
    pv.fit(vae, X, epochs=2, progress=False)
    return vae


ARRAYS: dict[str, Callable[[pv.VAE], np.ndarray]] = {
    "encode": lambda vae: pv.encode(vae, X).loc,
    "encode, scale": lambda vae: pv.encode(vae, X).scale,
    "reconstruct": lambda vae: pv.reconstruct(vae, X),
    "sample": lambda vae: pv.sample(vae, 5).mean,
    "rate": lambda vae: pv.latent_use(vae, X).rate_per_dim,
    "to_arviz": lambda vae: pv.to_arviz(vae, X, num_samples=3)["prior"]["z"].values,
}
DRAWN = {"sample", "to_arviz"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", ARRAYS)
def test_what_comes_out_of_a_16_bit_model_is_float32_and_near(
    name: str, dtype: torch.dtype
) -> None:
    """8 bits of a bfloat16 are 0.4 %; a few layers of them stay within a tenth of the scale."""
    vae = fitted()
    expected = ARRAYS[name](vae)
    found = ARRAYS[name](vae.to(dtype))
    assert found.dtype == np.float32
    if name not in DRAWN:  # rounded noise is other noise
        assert np.abs(found - expected).max() < 0.1 * (1 + np.abs(expected).max())


def test_arrays_of_other_types_stay() -> None:
    for dtype in (torch.float32, torch.float64, torch.int64):
        assert torch.equal(
            torch.from_numpy(as_numpy(torch.arange(3).to(dtype))),
            torch.arange(3).to(dtype),
        )


QUESTIONS: dict[str, Callable[[pv.VAE], Any]] = {
    "annealed": lambda vae: pv.annealed(vae, X[:2], num_chains=2, temperatures=5),
    "annealed, both ways": lambda vae: pv.bidirectional(
        vae, num_rows=2, num_chains=2, temperatures=5
    ),
    "audit": lambda vae: pv.audit(
        vae, X[:1], num_chains=2, num_samples=4, warmup_steps=4
    ),
    "inference_gaps": lambda vae: pv.inference_gaps(vae, X[:2], steps=4),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_chains_in_16_bits_are_refused(name: str) -> None:
    what = name.partition(",")[0]
    with pytest.raises(
        ValueError,
        match=rf"^{what}: expected a model of float32 .* got torch.bfloat16; take vae.float",
    ):
        QUESTIONS[name](fitted().bfloat16())


@pytest.mark.filterwarnings("ignore:evidence")
def test_a_density_in_16_bits_is_given_with_a_word() -> None:
    vae = fitted().bfloat16()
    assert pv.evidence(vae, X[:3], num_particles=10).log_marginal.dtype == np.float64
    with pytest.warns(
        UserWarning,
        match=r"^calibration: the model's numbers are torch.bfloat16, .* about 0.4%",
    ):
        pv.calibration(vae, num_rows=5, num_samples=9)
    with pytest.warns(
        UserWarning,
        match=r"^evidence: .*float16, so log p\(x\) is rounded to about 0.0%|take vae.float",
    ):
        warn_of_half(vae.half(), "evidence")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_inside_autocast_the_numbers_are_those_outside(dtype: torch.dtype) -> None:
    """Autocast is for training: a density in 16 bits is off by a tenth of a nat, without a sign."""
    vae = fitted()
    expected = (
        pv.evidence(vae, X, num_particles=20).log_marginal,
        pv.encode(vae, X).loc,
        pv.sample(vae, 3).x,
    )
    with torch.autocast("cpu", dtype=dtype):
        found = (
            pv.evidence(vae, X, num_particles=20).log_marginal,
            pv.encode(vae, X).loc,
            pv.sample(vae, 3).x,
        )
        assert torch.is_autocast_enabled("cpu")
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
