"""`binarize="dynamic"`: grey rows train a model of bits, with new bits in each step."""

import numpy as np
import pytest
import torch

from pyro_vae.data import PackedBits, binarized
from pyro_vae.likelihoods.base import logit_of_mean
from pyro_vae.networks.standardize import Standardize
from pyro_vae.objectives import ELBO
from pyro_vae.rng import own_seed
from pyro_vae.training import State, fit, step
from tests.training.small import BITS, Watch, X, same, small, weights

BYTES = np.random.default_rng(0).integers(0, 256, (60, 4), dtype=np.uint8)
BYTES[:, :2] //= 8
GREY = BYTES.astype(np.float32) / np.float32(255)


def bernoulli():
    return small(likelihood="bernoulli")


def trained(x, **options):
    vae = bernoulli()
    return fit(
        vae, x, binarize="dynamic", **{"epochs": 2, "batch_size": 16, **options}
    ), vae


def test_each_epoch_has_new_bits_and_validation_rows_keep_theirs():
    vae = bernoulli()
    watch = Watch(vae)
    fit(
        vae,
        GREY,
        objective=watch,
        binarize="dynamic",
        epochs=30,
        batch_size=100,
        validation=20,
    )
    train, valid = torch.stack(watch.train_rows), torch.stack(watch.valid_rows)
    assert set(train.unique().tolist()) == set(valid.unique().tolist()) == {0.0, 1.0}
    assert (valid == valid[0]).all()
    assert len({tuple(epoch.sum(0).tolist()) for epoch in train}) > 15
    held_out = torch.randperm(60, generator=torch.Generator().manual_seed(0))[:20]
    grey = torch.from_numpy(np.delete(GREY, held_out, axis=0)).double()
    error = (grey * (1 - grey)).sum(0).div(30).sqrt() / 40
    assert ((train.double().mean((0, 1)) - grey.mean(0)).abs() <= 4 * error).all()


def test_a_model_of_bits_learns_from_grey_rows():
    """Dark and bright rows: 4 log 2 nats at the start; log 2 + 4 entropies of 0.05 would be 1.5."""
    x = np.tile(np.where(X[:, :1] > 1, 0.95, 0.05), (4, 4))
    history = trained(x, epochs=40, lr=2e-2, validation=None)[0].history
    assert history[0]["elbo"] < -2.4
    assert history[-1]["elbo"] > -2.2


def test_it_starts_from_the_statistics_of_the_bits():
    _, vae = trained(GREY, validation=None, lr=1e-30)
    mean = torch.from_numpy(GREY).double().mean(0)
    torch.testing.assert_close(
        vae.likelihood.family.offset.double(),
        logit_of_mean(mean, 60),
        rtol=1e-5,
        atol=1e-6,
    )
    std = next(
        module.std for module in vae.guide.modules() if isinstance(module, Standardize)
    )
    torch.testing.assert_close(
        std.double(), (mean * (1 - mean)).sqrt(), rtol=1e-6, atol=0
    )


def test_bytes_and_their_levels_are_the_same_run():
    assert same(weights(trained(BYTES)[1]), weights(trained(GREY)[1]))


def test_one_seed_gives_one_run():
    assert same(weights(trained(GREY, seed=3)[1]), weights(trained(GREY, seed=3)[1]))


def test_packed_bits_are_bits_already():
    packed = PackedBits(np.packbits(BITS.astype(np.uint8), axis=1), (4,))
    one, other = bernoulli(), bernoulli()
    fit(one, packed, epochs=2, batch_size=16)
    fit(other, BITS, epochs=2, batch_size=16)
    assert same(weights(one), weights(other))
    assert trained(packed)[0].history


def test_a_step_draws_the_bits_of_its_batch():
    batch, infos = torch.from_numpy(GREY[:16]), []
    for dynamic in (True, False):
        vae = bernoulli()
        state = State(
            vae, ELBO(), torch.optim.SGD(vae.parameters(), lr=0.1), binarize=dynamic
        )
        with own_seed(0):
            infos.append(step(state, batch if dynamic else binarized(batch))[1])
    torch.testing.assert_close(*infos, rtol=0, atol=0)


REFUSED = {
    "grey rows without it": (
        GREY,
        {},
        r"x: expected values in the support \{0, 1\}.*binarize='dynamic'",
    ),
    "levels above 1": (
        GREY * 2,
        {"binarize": "dynamic"},
        r"x: expected values in the support \[0, 1\], got 1\.",
    ),
    "bits as bytes": (
        BITS.astype(np.uint8),
        {"binarize": "dynamic"},
        r"x: expected grey levels .* bits need no",
    ),
    "another word": (GREY, {"binarize": "static"}, "'none' or 'dynamic'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_grey_is_refused(case):
    x, options, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        fit(bernoulli(), x, epochs=1, **options)


@pytest.mark.slow
def test_the_bits_are_drawn_in_the_compiled_step():
    """The same bits: the graph draws what torch draws without a compiler."""
    options = {"epochs": 3, "batch_size": 12, "validation": None}
    one, _ = trained(GREY, compile="off", **options)
    other, _ = trained(GREY, compile="step", **options)
    for eager, compiled in zip(one.history, other.history, strict=True):
        assert compiled["loss"] == pytest.approx(eager["loss"], rel=1e-4)
