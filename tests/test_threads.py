"""Threads wait for each other where state of the process is switched: their results are the
sequential ones.
"""

import os
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from torch import nn
from torch.distributions import Distribution
from torch.utils.data import DataLoader, Dataset

import pyro_vae as pv
from pyro_vae.networks import evaluating
from pyro_vae.rng import Stream, own_seed
from pyro_vae.threads import alone

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))


def small(seed: int = 0, **fields: Any) -> pv.VAE:
    return pv.VAE(data_shape=(4,), latent_dim=2, hidden_dims=(16,), seed=seed, **fields)


def in_threads(jobs: Sequence[Callable[[], Any]], workers: int = 8) -> list[Any]:
    """The results of jobs that start together."""
    barrier = threading.Barrier(min(workers, len(jobs)))

    def run(job: Callable[[], Any]) -> Any:
        barrier.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


def state() -> dict[str, Any]:
    return {
        "torch's generator": torch.get_rng_state().tolist(),
        "Pyro's settings": pyro.settings.get(),
        "torch's validation": Distribution._validate_args,
        "products": torch.get_float32_matmul_precision(),
        "Pyro's parameters": list(pyro.get_param_store().keys()),
    }


GAPS = torch.where(X > 1, torch.nan, X)
WITH_GAPS = small(missing="at_random")
QUESTIONS: dict[str, Callable[[pv.VAE], np.ndarray]] = {
    "evidence": lambda vae: pv.evidence(vae, X, num_particles=300).log_marginal,
    "encode": lambda vae: pv.encode(vae, X).loc,
    "sample": lambda vae: pv.sample(vae, 50).x,
    "reconstruct": lambda vae: pv.reconstruct(vae, X),
    "calibration": lambda vae: pv.calibration(vae, num_rows=50, num_samples=9).pit,
    "impute": lambda vae: pv.impute(WITH_GAPS, GAPS, num_particles=50).mean,
    "annealed": lambda vae: (
        pv.annealed(vae, X[:4], num_chains=2, temperatures=10).log_marginal
    ),
}


def test_one_model_and_many_threads() -> None:
    """Calls that draw random numbers, and change Pyro's validation flag and the model's mode."""
    vae = small(
        encoder=nn.Sequential(nn.Linear(4, 16), nn.Dropout(), nn.ReLU())
    ).train()
    expected = {name: ask(vae) for name, ask in QUESTIONS.items()}
    before, names = state(), [*QUESTIONS] * 3
    found = in_threads(
        [lambda name=name: QUESTIONS[name](vae) for name in names], workers=len(names)
    )
    for name, answer in zip(names, found, strict=True):
        np.testing.assert_array_equal(answer, expected[name], err_msg=name)
    assert state() == before
    assert all(module.training for module in vae.modules())


def test_models_are_made_and_trained_in_threads_as_one_after_the_other() -> None:
    def trained(seed: int) -> list[float]:
        run = pv.fit(small(seed), X, epochs=3, batch_size=8, seed=seed, progress=False)
        return [row["loss"] for row in run.history]

    expected, before = [trained(seed) for seed in range(4)], state()
    assert (
        in_threads([lambda seed=seed: trained(seed) for seed in range(4)], workers=4)
        == expected
    )
    assert state() == before


def test_a_model_is_asked_while_another_is_trained() -> None:
    vae = small().eval()
    expected = pv.evidence(vae, X, num_particles=100).log_marginal
    losses = [
        row["loss"] for row in pv.fit(small(1), X, epochs=3, progress=False).history
    ]
    run, *found = in_threads(
        [
            lambda: pv.fit(small(1), X, epochs=3, progress=False),
            *[lambda: pv.evidence(vae, X, num_particles=100).log_marginal] * 4,
        ]
    )
    assert [row["loss"] for row in run.history] == losses
    assert all((answer == expected).all() for answer in found)


BLOCKS: dict[str, Callable[[], Any]] = {
    "alone": alone,
    "own_seed": lambda: own_seed(0),
    "evaluating": lambda: evaluating(nn.Linear(1, 1)),
    "a stream": lambda: Stream(0).drawn(),
}


@pytest.mark.parametrize("block", BLOCKS)
def test_another_thread_waits(block: str) -> None:
    done = threading.Event()

    def other() -> None:
        with BLOCKS[block]():
            done.set()

    thread = threading.Thread(target=other)
    with BLOCKS[block]():
        thread.start()
        assert not done.wait(0.3)
        with BLOCKS[block]():  # the same thread goes on
            pass
    thread.join(30)
    assert done.is_set()


class Asking(Dataset):
    """Rows that are codes of another model, which a worker process asks for."""

    def __init__(self, vae: pv.VAE) -> None:
        self.vae = vae

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(pv.reconstruct(self.vae, X[index : index + 1])[0])


@pytest.mark.parametrize("num_workers", [0, 1])
def test_rows_may_come_from_another_model(num_workers: int) -> None:
    """In the same thread, and in a worker process that is forked while the lock is taken."""
    loader: DataLoader[Any] = DataLoader(
        Asking(small(3)), batch_size=4, num_workers=num_workers
    )
    run = pv.fit(small(), loader, validation=None, epochs=1, progress=False)
    assert len(run.history) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_while_another_thread_holds_the_lock() -> None:
    """The child has no thread that would ever give the lock back."""
    taken, give_back = threading.Event(), threading.Event()

    def hold() -> None:
        with alone():
            taken.set()
            give_back.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(60)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # Python 3.12 on forks in a process with threads: that is what is tried
        child = os.fork()
    if child == 0:
        threading.Timer(30, lambda: os._exit(1)).start()
        with own_seed(0):
            os._exit(0)
    _, status = os.waitpid(child, 0)
    give_back.set()
    thread.join(60)
    assert os.waitstatus_to_exitcode(status) == 0
