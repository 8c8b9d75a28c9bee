"""Several processes make the steps of one: equal numbers without noise, equal weights."""

import math
from itertools import chain

import numpy as np
import pytest
import torch

from pyro_vae.distributed import collectives, process_group
from pyro_vae.distributed.launch import VARIABLES
from tests.cli.command import Done, pyro_vae
from tests.distributed import worker
from tests.distributed.worker import several
from tests.training.small import same

EXACT = (
    "plain",
    "clipped_and_averaged",
    "fewer_rows_than_processes",
    "free_bits",
    "few_labels",
    "spare",
)
HARD = (
    "noisy",
    "early",
    "stopped_by_a_callback",
    "strangers",
    "parts",
    "grey",
    "every_kind",
    "evidence_of_rows",
    "interrupted",
    "different_rows",
    "a_gpu_by_number",
)


@pytest.fixture(scope="module")
def hard(tmp_path_factory):
    return several(
        tmp_path_factory.mktemp("two"), *HARD, "one_fails", "a_callback_fails"
    )


def assert_alike(name, one, other):
    """The same run, up to the order of sums in float64."""
    assert one["best"] == other["best"], name
    torch.testing.assert_close(
        one["weights"],
        other["weights"],
        rtol=1e-9,
        atol=1e-11,
        msg=lambda text: f"{name}: {text}",
    )
    for row, expected in zip(one["history"], other["history"], strict=True):
        assert row == pytest.approx(expected, rel=1e-9), name


def assert_running_statistics_are_averaged(runs):
    """Running means are the mean of those of two halves, and variances lie between theirs."""
    first, second = (found["weights"] for found in runs)
    assert same(first, second)
    one = worker.normed()["weights"]
    (norm,) = (
        name.removesuffix("running_mean")
        for name in one
        if name.endswith("running_mean")
    )
    torch.testing.assert_close(
        first[f"{norm}running_mean"], one[f"{norm}running_mean"], rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(
        first[f"{norm}running_var"], one[f"{norm}running_var"], rtol=0.2, atol=0
    )
    assert first[f"{norm}num_batches_tracked"] == 6


# Equal to one process


@pytest.mark.slow
def test_two_processes_are_one_with_the_same_batches(tmp_path):
    """Uneven batches, clipping, averages and BatchNorm included; 20 steps and more."""
    runs = several(tmp_path, *EXACT, "normed")
    assert_running_statistics_are_averaged(runs.pop("normed"))
    for name, (first, second) in runs.items():
        assert_alike(name, first, getattr(worker, name)())
        assert same(first["weights"], second["weights"]), name
        assert first["history"] == second["history"], name


def test_clipping_and_free_bits_are_at_work():
    """What the equalities above would not see if it did nothing."""
    norms = [row["grad_norm"] for row in worker.clipped_and_averaged()["history"]]
    assert max(norms) > 0.5
    free = worker.free_bits()["history"][-1]
    full = worker.quiet(worker.QuietGuide(), "standard_normal")["history"][-1]
    assert free["loss"] - free["rate"] - free["distortion"] > 0.01
    assert full["loss"] == pytest.approx(full["rate"] + full["distortion"])


# With noise


@pytest.mark.slow
def test_with_noise_two_processes_agree_with_each_other_and_fit_as_well_as_one(hard):
    """The ELBO of the last ten epochs is as likely as that of one process with another seed."""
    first, second = hard["noisy"]
    assert same(first["weights"], second["weights"])
    assert (first["history"], first["best"]) == (second["history"], second["best"])
    assert first["untouched"]
    assert second["untouched"]

    def ends(run):
        return np.mean([row["elbo"] for row in run["history"][-10:]])

    alone = [ends(worker.noisy(seed)) for seed in range(6)]
    spread = np.std(alone, ddof=1) * math.sqrt(1 + 1 / 6)
    assert abs(ends(first) - np.mean(alone)) < 4 * spread
    assert spread < 0.1 * (np.mean(alone) - first["history"][0]["elbo"])


@pytest.mark.slow
def test_they_start_from_the_weights_of_the_first(hard):
    first, second = hard["strangers"]
    assert same(first["weights"], second["weights"])
    torch.testing.assert_close(
        first["weights"], worker.strangers()["weights"], rtol=0, atol=1e-5
    )


@pytest.mark.slow
def test_they_stop_early_together(hard):
    first, second = hard["early"]
    assert first["history"] == second["history"]
    assert len(first["history"]) == first["best"] + 5 < 200
    assert same(first["weights"], second["weights"])


@pytest.mark.slow
def test_the_first_process_calls_and_all_stop(hard):
    first, second = hard["stopped_by_a_callback"]
    assert (first["seen"], second["seen"]) == ([1, 2, 3], [])
    assert first["history"] == second["history"]
    assert len(first["history"]) == 3
    assert (first["stopped"], second["stopped"]) == (True, True)
    assert same(first["weights"], second["weights"])


@pytest.mark.slow
def test_an_error_of_a_callback_ends_the_others(hard):
    assert hard["a_callback_fails"] == ["LookupError", "ProcessLost"]


@pytest.mark.slow
def test_each_row_goes_to_one_process_and_noise_is_its_own(hard):
    """A loader that shuffles gives both processes one order, of which each takes its half."""
    first, second = hard["parts"]
    rows = [
        one + other for (one, _), (other, _) in zip(first[:8], second[:8], strict=True)
    ]
    assert [len(batch) for batch in rows] == 2 * [16, 16, 16, 2]
    one_epoch = list(chain(*rows[:4]))
    other_epoch = list(chain(*rows[4:]))
    assert sorted(one_epoch) == sorted(other_epoch) == list(range(50))
    assert one_epoch != other_epoch != sorted(one_epoch)
    (ones, rates), (others, other_rates) = first[8], second[8]
    assert ones == others == [1.0] * 4
    assert not set(rates) & set(other_rates)


@pytest.mark.slow
def test_bits_are_drawn_by_each_and_the_order_stays_one(hard):
    """Grey rows in batches that don't divide evenly, which a loader shuffles."""
    (rows, bits), (other_rows, other_bits) = hard["grey"]
    assert rows == other_rows
    assert bits != other_bits


@pytest.mark.slow
def test_every_kind_trains_and_ends_alike(hard):
    first, second = hard["every_kind"]
    for name, found in first.items():
        assert same(found["weights"], second[name]["weights"]), name
        assert found["history"] == second[name]["history"], name
        assert all(
            math.isfinite(value) for row in found["history"] for value in row.values()
        ), name


@pytest.mark.slow
def test_shared_evidence_is_that_of_one_process(hard):
    for first, second in zip(*hard["evidence_of_rows"], strict=True):
        (shared, alone), (shared_too, _) = first, second
        for name, column in alone.items():
            if name == "seconds":
                continue
            np.testing.assert_array_equal(shared[name], shared_too[name])
            if np.asarray(column).dtype.kind == "f":
                np.testing.assert_allclose(
                    shared[name], column, rtol=1e-4, atol=1e-5, err_msg=name
                )
            else:
                np.testing.assert_array_equal(shared[name], column, err_msg=name)
    assert len(hard["evidence_of_rows"][0][0][0]["log_marginal"]) == 13


# What goes wrong


@pytest.mark.slow
def test_an_interrupt_of_one_process_stops_all_at_the_same_step(hard):
    first, second = hard["interrupted"]
    assert [found["interrupted"] for found in (first, second)] == [True, True]
    assert [len(found["history"]) for found in (first, second)] == [2, 2]
    assert same(first["weights"], second["weights"])
    assert first["handler"]
    assert second["handler"]


@pytest.mark.slow
def test_an_error_in_one_process_ends_the_others(hard):
    assert hard["one_fails"] == [("ProcessLost", None), ("ValueError", True)]


@pytest.mark.slow
def test_what_can_not_work_is_refused_everywhere(hard):
    message = (
        "x: expected the same rows in every process, got [600, 1000] steps ahead; pass all rows "
        "to each"
    )
    assert hard["different_rows"] == [message] * 2
    message = (
        "device: expected cpu, cuda or auto in 2 processes, got 'cuda:1'; take 'cuda'"
    )
    assert hard["a_gpu_by_number"] == [message] * 2


@pytest.mark.slow
def test_three_processes_share_batches_that_three_does_not_divide(tmp_path):
    found = several(tmp_path, "plain", "evidence_of_rows", processes=3)
    assert_alike("plain", found["plain"][2], worker.plain())
    assert len(found["evidence_of_rows"][1][0][0]["log_marginal"]) == 13


# Alone


def test_a_process_alone_keeps_what_it_has():
    with process_group.joined():
        assert (
            process_group.rank(),
            process_group.world_size(),
            process_group.is_first(),
        ) == (
            0,
            1,
            True,
        )
        assert process_group.first_failure()
    values = torch.tensor([1.0, 2.0])
    assert collectives.mean_over_ranks(values) is values
    assert collectives.gathered("a") == ["a"]
    assert process_group.device_of_rank(torch.device("cuda:1")) == torch.device(
        "cuda:1"
    )


def test_parts_are_whole_batches_by_their_weights(monkeypatch):
    """Σ wᵣ meanᵣ / W is the mean over the rows, for any number of rows and processes."""
    for world in (1, 2, 3, 7):
        monkeypatch.setattr(process_group, "world_size", lambda world=world: world)
        for rows in (1, 2, 3, 5, 16, 20):
            batch, total = torch.randn(rows, 2, dtype=torch.float64), 0
            for number in range(world):
                monkeypatch.setattr(process_group, "rank", lambda number=number: number)
                part, weight = process_group.part_of_rank(batch)
                assert len(part) > 0
                total = total + weight * part.mean(0) / world
            torch.testing.assert_close(total, batch.mean(0), rtol=1e-12, atol=1e-14)


def test_seeds_of_processes_differ(monkeypatch):
    seeds = set()
    for number in range(4):
        monkeypatch.setattr(process_group, "rank", lambda number=number: number)
        seeds |= {process_group.seed_of_rank(seed) for seed in range(10)}
    assert len(seeds) == 40
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_only_processes_that_torchrun_started_are_several(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with process_group.joined():
        assert process_group.world_size() == 1


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(("kinds", "priors"), 0), (("fit", "--no-such-option"), 2)],
)
def test_the_first_process_speaks(monkeypatch, arguments, status):
    """Of the others nothing is heard, and nothing is done that is not shared."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "2")
    assert pyro_vae(*arguments) == Done(status, "", "")
    monkeypatch.setenv("RANK", "0")
    heard = pyro_vae(*arguments)
    assert heard.status == status
    assert heard.out + heard.err
