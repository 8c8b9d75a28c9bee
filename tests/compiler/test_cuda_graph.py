"""A recorded graph makes the same steps; where there is no GPU, a stand-in runs it later."""

import pytest
import torch

from pyro_vae.compiler.cuda_graph import CUDAGraphed
from pyro_vae.objectives import ELBO
from pyro_vae.training import CompiledStep, State, fit, step
from pyro_vae.training import compiled_graph as module
from pyro_vae.training.ema import ExponentialMovingAverage
from tests.training.small import X, same, small, weights


class Recorder:
    """Records work as a GPU does: nothing runs, and each replay writes to the same results."""

    def __init__(self):
        self.recordings, self.replays = 0, 0

    def __call__(self, work):
        self.recordings += 1
        results = []

        def replay():
            self.replays += 1
            new = work()
            if not results:
                results.extend(torch.empty_like(one) for one in new)
            for result, one in zip(results, new, strict=True):
                result.copy_(one)

        return results, replay


def add(total, x):
    """Adds in place, and returns the sum."""
    total += x
    return (total.clone(),)


def test_each_call_reads_its_inputs_and_changes_its_buffers():
    recorder = Recorder()
    total = torch.zeros(2)
    run = CUDAGraphed(add, num_inputs=1, record=recorder)
    sums = [run(total, torch.full((2,), number))[0] for number in (1.0, 2.0, 3.0)]
    assert [one.tolist() for one in sums] == [[1, 1], [3, 3], [6, 6]]
    assert total.tolist() == [6, 6]
    assert (recorder.recordings, recorder.replays) == (1, 3)


def test_buffers_elsewhere_are_not_replayed():
    recorder = Recorder()
    first = torch.zeros(2)
    second = torch.full((2,), 10.0)
    one = torch.ones(2)
    run = CUDAGraphed(add, num_inputs=1, record=recorder)
    run(first, one)
    assert run(second, one)[0].tolist() == [11, 11]
    assert run(first, one)[0].tolist() == [2, 2]
    assert (recorder.recordings, recorder.replays) == (1, 2)


def test_what_can_not_be_recorded_runs_each_time():
    def refuse(work):
        raise RuntimeError("operation not permitted when stream is capturing")

    run = CUDAGraphed(add, num_inputs=1, record=refuse)
    total = torch.zeros(2)
    with pytest.warns(
        UserWarning,
        match=r"^fit: the compiled step can't be recorded.*: operation not permitted",
    ):
        run(total, torch.ones(2))
    assert run(total, torch.ones(2))[0].tolist() == [2, 2]


def test_a_recorded_step_is_the_step(monkeypatch):
    """With Adam's moments and averages, which may be applied between the steps."""
    monkeypatch.setattr(module, "_compile", lambda graph, inputs: graph.module)
    found, recorder = [], Recorder()
    for make_step in (CompiledStep(), step):
        vae = small()
        average = ExponentialMovingAverage(list(vae.parameters()), 0.9)
        state = State(
            vae,
            ELBO(),
            torch.optim.Adam(vae.parameters(), lr=1e-2),
            clip_norm=5.0,
            ema=average,
        )
        torch.manual_seed(0)
        for number, start in enumerate((0, 16, 32, 8, 24)):
            state, _ = make_step(state, torch.as_tensor(X[start : start + 16]))
            if number == 0 and make_step is not step:
                make_step._one.run = CUDAGraphed(
                    make_step._one.plain, num_inputs=2, record=recorder
                )
            with average.applied():
                pass
        found.append(weights(vae))
    assert (recorder.recordings, recorder.replays) == (1, 4)
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], rtol=1e-4, atol=1e-5)


OPTIONS = {
    "epochs": 3,
    "batch_size": 16,
    "lr": 1e-2,
    "validation": 4,
    "device": "cuda",
    "ema_decay": 0.9,
}


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["full", "bf16-mixed"])
def test_a_gpu_replays_the_compiled_step(precision):
    """The eager steps draw the same numbers; the shorter last batch is eager in both."""
    runs, found = [], []
    for how in ("step", "off"):
        vae = small()
        runs.append(fit(vae, X, compile=how, precision=precision, **OPTIONS))
        found.append(weights(vae.cpu()))
    tolerance = (
        {"rtol": 1e-3, "atol": 1e-4}
        if precision == "full"
        else {"rtol": 0.1, "atol": 0.05}
    )
    for ours, theirs in zip(runs[0].history, runs[1].history, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=tolerance["rtol"])
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], **tolerance)


@pytest.mark.gpu
def test_a_gpu_gives_one_result_for_one_seed():
    found = []
    for _ in range(2):
        vae = small()
        fit(vae, X, compile="step", **OPTIONS)
        found.append(weights(vae.cpu()))
    assert same(*found)


@pytest.mark.gpu
def test_the_memory_of_a_gpu_holds_the_rows_once_and_a_few_copies_of_the_weights():
    vae, x = small(data_shape=(1000,), hidden_dims=(512,)), torch.rand(50_000, 1000)
    size = sum(weight.numel() * weight.element_size() for weight in vae.parameters())
    torch.cuda.reset_peak_memory_stats()
    fit(vae, x, **OPTIONS | {"epochs": 1, "batch_size": 500, "validation": None})
    assert (
        torch.cuda.max_memory_allocated()
        < x.numel() * x.element_size() + 20 * size + 2**28
    )
