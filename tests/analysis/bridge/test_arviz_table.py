"""Every call in the tables of docs/arviz.md does with the installed ArviZ what the page says."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import arviz as az
import matplotlib
import numpy as np
import pytest
from scipy.special import logsumexp

from benchmarks.arviz_plots import files, table, trees
from benchmarks.arviz_plots.table import OLD, PAGE, Call
from pyro_vae.analysis.bridge.arviz_objects import to_datatree
from pyro_vae.analysis.bridge.elpd import to_elpd

CALLS = table.calls()


@pytest.fixture(scope="module")
def names() -> Iterator[dict[str, Any]]:
    backend = matplotlib.get_backend()
    matplotlib.use("Agg")
    yield table.names()
    matplotlib.use(backend)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.code[3:60])
def test_a_call_does_what_the_page_says(call: Call, names: dict[str, Any]) -> None:
    error = call.outcome(names)
    if call.fails:
        assert type(error).__name__ in call.fails
    else:
        assert error is None


def test_every_plot_and_statistic_is_in_a_table() -> None:
    named = {call.name for call in CALLS} | table.WANT_A_REFIT
    assert not (table.plots() | table.statistics()) - named
    text = PAGE.read_text(encoding="utf-8")
    assert not {name for name in table.WANT_A_REFIT if f"`{name}`" not in text}


def test_the_page_counts_the_plots_that_run() -> None:
    """In `0.23.4: 26 of 28 plots`; a later release may have others, which the test above finds."""
    text = PAGE.read_text(encoding="utf-8")
    told = re.search(rf"{re.escape(az.__version__)}: (\d+) of (\d+) plots", text)
    if told is None:
        pytest.skip(f"the page has no count for ArviZ {az.__version__}")
    running = {call.name for call in CALLS if not call.fails and not call.misleads}
    every = table.plots()
    assert (int(told[1]), int(told[2])) == (len(running & every), len(every))


@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto")
def test_leave_one_out_is_too_good_and_ours_is_not() -> None:
    """The exact p(x) of a linear Gaussian model, of which `az.loo` sees exact posterior draws."""
    rng = np.random.default_rng(0)
    truth = trees.LinearGaussian(rng)
    x = truth.rows(rng, 300)
    exact = truth.log_marginal(x)
    z = truth.codes(rng, x, 1000)
    groups = {
        "posterior": {"z": z},
        "log_likelihood": {"x": truth.log_likelihood(x, z)},
    }
    naive = az.loo(to_datatree(groups), pointwise=True)
    too_good = (naive["elpd_loo" if OLD else "elpd"] - exact.sum()) / len(x)
    assert 0.6 < too_good < 0.9
    assert (naive.pareto_k > 0.7).mean() > 0.7

    wide = truth.codes(rng, x, 1000, trees.WIDEN)
    log_p = truth.log_likelihood(x, wide) + truth.log_prior(wide)
    log_weight = log_p - truth.log_codes(x, wide, trees.WIDEN)
    ours = logsumexp(log_weight, 0) - np.log(1000)
    elpd = to_elpd(ours, np.zeros(len(x)), num_particles=1000)
    off = (elpd["elpd_loo" if OLD else "elpd"] - exact.sum()) / len(x)
    assert abs(off) < 0.01


@pytest.mark.slow
def test_a_file_of_trees_is_what_was_in_memory(tmp_path: Path) -> None:
    files.write(tmp_path, files.plain())
    assert files.differences(tmp_path) == []
    bits = np.load(tmp_path / "real.npz")
    changed = dict(bits) | {"posterior/z": np.nextafter(bits["posterior/z"], np.inf)}
    np.savez(tmp_path / "real.npz", **changed)
    assert files.differences(tmp_path) == ["real: posterior/z"]


@pytest.mark.slow
def test_a_file_of_a_models_draws_is_too(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    files.write(tmp_path, files.drawn())
    assert files.differences(tmp_path) == []
