"""Memory does not grow with the draws, and chunks are as large as the cache."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from pyro_vae import VAE, analysis

evidence = partial(analysis.evidence, method="importance")
"""Importance sampling from the guide, or from the proposal that is asked for."""

ROOT = Path(__file__).resolve().parents[3]
PEAK = """
import resource, torch, pyro_vae as pv
options = dict(hidden_dims=(200, 200), activation="tanh", likelihood="bernoulli")
vae = pv.VAE(data_shape=(784,), latent_dim=50, **options)
x = (torch.rand(40, 784) < 0.3).float()
pv.evidence(vae, x, num_particles={draws})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_draws() -> None:
    def peak(draws: int) -> int:
        command = [sys.executable, "-c", PEAK.format(draws=draws)]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    assert peak(1000) < 1.1 * peak(100)


@pytest.mark.parametrize(
    ("width", "dtype"),
    [(32, torch.float32), (4096, torch.float32), (4096, torch.float64)],
)
def test_a_chunk_of_the_widest_layer_fits_the_cache(
    width: int, dtype: torch.dtype
) -> None:
    decoder = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 4))
    vae = VAE(data_shape=(4,), latent_dim=2, decoder=decoder).to(dtype)
    pairs: list[int] = []
    handle = decoder.register_forward_hook(
        lambda module, inputs, output: pairs.append(len(output))
    )
    evidence(vae, torch.zeros(70 if width == 32 else 2, 4), num_particles=250)
    largest = max(pairs) * width * dtype.itemsize
    assert largest <= 2**21
    assert largest > 2**19 or max(pairs) > 2**13
    handle.remove()
    assert not any(module._forward_hooks for module in vae.modules())
