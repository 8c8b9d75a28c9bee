"""The units of the numbers of a context."""

from typing import Any

import numpy as np
import pytest
import torch

import pyro_vae as pv

SPREADS = np.array([1.0, 7.0])


def started(standardize: str, label: int | None) -> tuple[Any, torch.Tensor]:
    """A model that has seen its rows, and their contexts."""
    rng = np.random.default_rng(0)
    context = {"dim": 2, "label": label} if label else {"dim": 2}
    vae = pv.VAE(
        data_shape=(3,),
        latent_dim=1,
        hidden_dims=(4,),
        standardize=standardize,
        context=context,
    )
    c = rng.normal(5.0, SPREADS, (400, 2))
    if label:
        c = np.hstack([c, rng.integers(0, label, (400, 1))])
    how = {"epochs": 1, "validation": None, "progress": False}
    pv.fit(vae, rng.normal(size=(400, 3)), context=c, **how)
    return vae.model.features, torch.as_tensor(c)


@pytest.mark.parametrize("label", [None, 9])
@pytest.mark.parametrize("standardize", ["feature", "all", "none"])
@pytest.mark.filterwarnings("ignore:fit. the")
def test_numbers_are_in_the_units_that_are_asked_for(
    standardize: str, label: int | None
) -> None:
    features, c = started(standardize, label)
    own = c[:, :2].numpy()
    mean, std = own.mean(0), own.std(0)
    if standardize == "all":
        std = np.full(2, np.sqrt(np.square(std).mean()))
    if standardize == "none":
        mean, std = np.zeros(2), np.ones(2)
    np.testing.assert_allclose(features.mean[:2], mean, rtol=1e-4)
    np.testing.assert_allclose(features.std[:2], std, rtol=1e-4)
