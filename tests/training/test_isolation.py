"""Same seed, same numbers, whatever else the process does; and nothing outside a model is changed
by it.
"""

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn
from torch.distributions import Distribution
from torch.utils.data import DataLoader, TensorDataset

from pyro_vae.analysis import encode, evidence, reconstruct, sample, to_arviz
from pyro_vae.rng import own_seed
from pyro_vae.training import fit, load, save
from pyro_vae.vae import VAE
from tests.training.small import BITS, Watch, X, same, small, weights, without_clock

ROOT = Path(__file__).resolve().parents[2]
SHORT = {"epochs": 2, "batch_size": 16, "lr": 1e-2}


def fitted(**fields):
    """A small model after two epochs."""
    vae = small(**fields)
    fit(vae, X, **SHORT)
    return vae


class Modern(nn.Module):
    """An encoder with BatchNorm and Dropout."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5)
        )

    def forward(self, x):
        return self.body(x)


def modern(seed=0):
    with own_seed(seed):
        return Modern()


# One seed, one result


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "ema_decay": 0.9,
            "num_particles": 3,
            "kl_warmup_epochs": 1,
            "validation": None,
        },
    ],
)
@pytest.mark.parametrize("encoder", [None, modern], ids=["plain", "with dropout"])
def test_one_seed_gives_one_result_whatever_the_seed_outside(options, encoder):
    results = []
    for outside in (1, 2):
        torch.manual_seed(outside)
        vae = small(denoise=0.1, **({} if encoder is None else {"encoder": encoder()}))
        torch.manual_seed(outside + 10)
        run = fit(vae, X, **SHORT, seed=5, **options)
        results.append((weights(vae), without_clock(run.history)))
    assert same(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


def test_one_seed_gives_one_result_with_a_shuffling_loader():
    results = []
    for outside in (1, 2):
        torch.manual_seed(outside)
        vae = small()
        fit(
            vae,
            DataLoader(TensorDataset(torch.as_tensor(X)), batch_size=16, shuffle=True),
            validation=X[:9],
            **SHORT,
        )
        results.append(weights(vae))
    assert same(*results)


@pytest.mark.parametrize("which", ["model", "fit"])
def test_another_seed_gives_another_result(which):
    results = []
    for seed in (0, 1):
        vae = small(seed=seed if which == "model" else 0)
        run = fit(vae, X, **SHORT, seed=seed if which == "fit" else 0)
        results.append((weights(vae), run.history[0]["loss"]))
    assert not same(results[0][0], results[1][0])
    assert results[0][1] != results[1][1]


def test_the_seed_of_a_model_is_that_of_its_first_weights():
    assert same(weights(small(seed=3)), weights(small(seed=3)))
    assert not same(weights(small(seed=3)), weights(small(seed=4)))


# The caller's random numbers


def outside():
    """What belongs to the caller."""
    return {
        "torch's generator": torch.get_rng_state().tolist(),
        "numpy's generator": str(np.random.get_state()),  # noqa: NPY002 - the global one is watched
        "random's generator": random.getstate(),
        "Pyro's settings": pyro.settings.get(),
        "torch's validation": Distribution._validate_args,
        "torch's grad mode": torch.is_grad_enabled(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
        "Pyro's stack of handlers": len(pyro.poutine.runtime._PYRO_STACK),
        "Pyro's parameter store": sorted(pyro.get_param_store().keys()),
    }


def shuffled(rows=X):
    return DataLoader(TensorDataset(torch.as_tensor(rows)), batch_size=16, shuffle=True)


def interrupted_fit():
    def react(watch, terms):
        raise KeyboardInterrupt

    vae = small()
    with pytest.warns(UserWarning, match="interrupted"):
        fit(vae, X, objective=Watch(vae, react), **SHORT)


def failing_fit(error):
    def react(watch, terms):
        raise error

    vae = small()
    with pytest.raises(type(error)):
        fit(vae, X, objective=Watch(vae, react), **SHORT)


def refused_fit():
    with pytest.raises(ValueError, match="row 0"):
        fit(small(), np.full((5, 4), np.nan), **SHORT)


def failing_model():
    class Broken(nn.Module):
        def forward(self, z):
            if self.training:
                raise RuntimeError("broken")
            return dist.Normal(z, 1.0).to_event(1)

    with pytest.raises(RuntimeError, match="broken"):
        fit(small(latent_dim=4, likelihood=Broken()), X, **SHORT)


DEEDS = {
    "construct": small,
    "construct with modules": lambda: small(
        encoder=modern(), prior=dist.Laplace(torch.zeros(2), 1.0).to_event(1)
    ),
    "fit": fitted,
    "fit bits": lambda: fit(small(likelihood="bernoulli"), BITS, **SHORT),
    "fit with particles": lambda: fit(
        small(), X, num_particles=3, kl="monte_carlo", **SHORT
    ),
    "fit a loader": lambda: fit(small(), shuffled(), validation=shuffled(), **SHORT),
    "fit, interrupted": interrupted_fit,
    "fit, out of memory": lambda: failing_fit(RuntimeError("out of memory")),
    "fit, a mistake": lambda: failing_fit(ValueError("a mistake")),
    "fit, refused": refused_fit,
    "fit, the model fails": failing_model,
    "evidence": lambda: evidence(small(), X, num_particles=300),
    "evidence of a loader": lambda: evidence(small(), shuffled(), num_particles=3),
    "sample": lambda: sample(small(), 10),
    "encode": lambda: encode(small(), X),
    "encode a loader": lambda: encode(small(), shuffled()),
    "reconstruct": lambda: reconstruct(small(), X),
    "to_arviz": lambda: to_arviz(small(), X[:3], num_samples=5),
    "print": lambda: str(small()),
}


@pytest.fixture(params=[True, False], ids=["validating", "not validating"])
def validation(request):
    """Pyro's and torch's validation on or off, as a caller may have them."""
    before = Distribution._validate_args
    with pyro.validation_enabled(request.param):
        Distribution.set_default_validate_args(request.param)
        yield
    Distribution.set_default_validate_args(before)


@pytest.mark.parametrize("deed", DEEDS)
def test_nothing_outside_changes(deed, validation):
    torch.manual_seed(7), np.random.seed(7), random.seed(7)  # noqa: NPY002
    before = outside()
    DEEDS[deed]()
    after = outside()
    assert [what for what in before if before[what] != after[what]] == []
    assert after["Pyro's parameter store"] == []


def test_files_change_nothing_outside(tmp_path):
    before = outside()
    save(small(), tmp_path / "run")
    load(tmp_path / "run")
    assert before == outside()


# Several models in one process

SIZES = {
    "equal sizes": [dict(seed=seed) for seed in range(3)],
    "different sizes": [
        dict(latent_dim=size, hidden_dims=(4 * size,), seed=size) for size in (1, 2, 3)
    ],
}
ALONE = """
import sys, torch
torch.set_num_threads({threads})
from tests.training.test_isolation import SIZES, digest, fitted
print(digest(fitted(**SIZES[{sizes!r}][2])))
"""


def digest(vae):
    """All weights in one word."""
    parts = [
        f"{name} {value.dtype} {value.tolist()}"
        for name, value in vae.state_dict().items()
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@pytest.fixture(scope="module")
def alone():
    """The third model of each kind, trained in a process of its own."""
    programs = {
        sizes: subprocess.Popen(
            [
                sys.executable,
                "-c",
                ALONE.format(threads=torch.get_num_threads(), sizes=sizes),
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for sizes in SIZES
    }
    return {
        sizes: program.communicate()[0].strip() for sizes, program in programs.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("sizes", SIZES)
def test_three_models_trained_in_turn_train_as_each_would_alone(sizes, alone):
    in_turn = [fitted(**fields) for fields in SIZES[sizes]]
    assert digest(in_turn[2]) == alone[sizes]
    built_first = [small(**fields) for fields in SIZES[sizes]]
    untrained = [weights(vae) for vae in built_first]
    for vae in reversed(built_first):
        fit(vae, X, **SHORT)
    for one, other, before in zip(in_turn, built_first, untrained, strict=True):
        assert digest(one) == digest(other)
        assert not any(
            torch.equal(before[name], p) for name, p in one.named_parameters()
        )


@pytest.mark.param_store
def test_a_users_own_pyro_training_and_ours_do_not_meet():
    """Pyro's SVI as usual: the global store has its parameters, under the names of our modules."""
    expected = digest(fitted(seed=9))
    theirs = small(seed=8)
    x = torch.as_tensor(X)
    svi = pyro.infer.SVI(
        theirs.model,
        theirs.guide,
        pyro.optim.Adam({"lr": 1e-2}),
        pyro.infer.Trace_ELBO(),
    )
    svi.step(x)
    stored = {
        name: value.detach().clone() for name, value in pyro.get_param_store().items()
    }
    assert digest(fitted(seed=9)) == expected
    assert same(
        stored, {name: value.detach() for name, value in pyro.get_param_store().items()}
    )
    before = weights(theirs)
    svi.step(x)
    assert not same(before, weights(theirs))


# Evaluation changes nothing inside either

QUESTIONS = {
    "evidence": lambda vae: evidence(vae, X, num_particles=10),
    "encode": lambda vae: encode(vae, X),
    "reconstruct": lambda vae: reconstruct(vae, X),
    "sample": lambda vae: sample(vae, 5),
    "to_arviz": lambda vae: to_arviz(vae, X[:3], num_samples=5),
}


@pytest.mark.parametrize("mode", ["training", "evaluation", "mixed"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_leaves_weights_buffers_gradients_and_modes(question, mode):
    vae = small(encoder=modern()).train(mode != "evaluation")
    if mode == "mixed":
        vae.posterior.encoder.body[
            1
        ].eval()  # a frozen BatchNorm in a model that is being trained
    modes = [module.training for module in vae.modules()]
    before = weights(vae)
    QUESTIONS[question](vae)
    assert same(before, weights(vae))
    assert [module.training for module in vae.modules()] == modes
    assert all(p.requires_grad and p.grad is None for p in vae.parameters())


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_failing_question_leaves_them_too(question, monkeypatch):
    vae = small().train()
    monkeypatch.setattr(type(vae.likelihood), "forward", lambda self, z: 1 / 0)
    monkeypatch.setattr(type(vae.posterior), "forward", lambda self, x: 1 / 0)
    before = outside()
    with pytest.raises(ZeroDivisionError):
        QUESTIONS[question](vae)
    assert vae.training
    assert before == outside()


# Modules of the user's


def test_batchnorm_and_dropout_train_and_are_saved(tmp_path):
    vae = small(encoder=modern())
    norm = vae.posterior.encoder.body[1]
    modes = []

    def react(watch, terms):
        modes.append((watch.vae.training, norm.training))
        return terms

    run = fit(
        vae,
        X,
        objective=Watch(vae, react),
        validation=10,
        epochs=3,
        batch_size=10,
        lr=1e-2,
    )
    assert set(modes) == {(True, True), (False, False)}
    assert not norm.training
    assert (
        int(norm.num_batches_tracked) == 4 * run.best_epoch
    )  # neither the first look nor validation counts
    assert float(norm.running_mean.abs().max()) > 0.01
    save(vae, tmp_path / "run")
    loaded = load(tmp_path / "run", encoder=modern(seed=1))
    assert same(weights(vae), weights(loaded))
    np.testing.assert_array_equal(encode(vae, X).loc, encode(loaded, X).loc)
    np.testing.assert_array_equal(encode(vae, X).loc, encode(vae, X).loc)


def test_a_second_fit_trains_in_training_mode_again():
    vae = small(encoder=modern())
    norm = vae.posterior.encoder.body[1]
    for passes in (1, 2):
        fit(vae, X, validation=None, epochs=1, batch_size=10)
        assert int(norm.num_batches_tracked) == 5 * passes
        assert not norm.training


def test_dropout_is_on_in_training_and_off_in_validation():
    def outcome(dropout):
        vae = small(encoder=nn.Sequential(nn.Dropout(dropout), modern().body[0]))
        return fit(vae, X, lr=1e-30, epochs=1, validation=20).history[0]

    with_dropout, without = outcome(0.9), outcome(0.0)
    assert with_dropout["val_elbo"] == without["val_elbo"]
    assert with_dropout["rate"] != pytest.approx(without["rate"], rel=1e-3)


def test_a_frozen_part_stays_as_it_is():
    encoder = modern().body[0].requires_grad_(False)
    before = weights(encoder)
    vae = VAE(data_shape=(4,), latent_dim=2, encoder=encoder)
    fit(vae, X, **SHORT, ema_decay=0.9)
    assert same(before, weights(encoder))
