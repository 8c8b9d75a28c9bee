"""The check-up of a model with a context, and its finding about z and the context."""

import numpy as np
import pytest
import torch

import pyro_vae as pv
from pyro_vae.analysis.report.checks import baseline
from pyro_vae.analysis.report.possible_steps import given
from tests.contexts.linear import Linear, W
from tests.labels.models import (
    exact_log_joint,
    exact_log_marginal,
    labels,
    linear_vae,
    rows,
)

NAME = "z and the context"


@pytest.fixture(scope="module")
def of_the_truth():
    truth = Linear()
    x, c = truth.drawn(100)
    how = {"context": c, "num_particles": 100, "progress": False}
    return truth.log_marginal(x, c).mean(), pv.checkup(truth.vae(), x, **how)


@pytest.mark.slow
def test_the_truth_passes(of_the_truth):
    exact, found = of_the_truth
    assert found.worst == "pass"
    assert found[NAME].verdict == "pass"
    assert found.sentences[0].startswith("log p(x | c) = ")
    assert found.log_marginal == pytest.approx(exact, abs=1e-9)


def moved(n):
    """Rows of the truth whose z tells of the first number of their context."""
    x, c = Linear().drawn(n)
    return x + 2.0 * c[:, :1] * W[:, 0], c


@pytest.mark.slow
def test_a_context_in_z_is_named_and_the_remedy_runs():
    x, c = moved(200)
    vae = Linear().vae().float()
    how = {"context": c, "num_particles": 50, "progress": False}
    found = pv.checkup(vae, x, **how)
    told = found[NAME]
    assert told.verdict == "warn"
    assert "c[0] " in told.meaning
    assert "c[1]" not in told.meaning
    assert told.command.startswith("pyro-vae fit RUN --set context.independence=30")
    names = {"pv": pv, "vae": vae, "x_train": x, "c_train": c}
    run = eval(told.python.replace("c_train", "c_train, epochs=1"), names)
    assert run.vae.spec.context.independence == 30.0


def test_more_is_asked_where_it_was_asked():
    x, c = moved(200)
    found = pv.independence(Linear().vae(), x, context=c)
    assert "independence=60" in found.finding(20.0).command
    assert not found.finding(None).remedy


def test_lines_of_python_have_the_contexts():
    assert given("pv.fit(f(vae, g=1), x_train)").endswith(", x_train, context=c_train)")
    assert (
        given("pv.audit(vae, x[:1], k=2)") == "pv.audit(vae, x[:1], context=c[:1], k=2)"
    )


@pytest.mark.slow
def test_few_rows_tell_nothing_of_the_context():
    x, c = Linear().drawn(10)
    how = {"context": c, "num_particles": 50, "progress": False}
    assert pv.checkup(Linear().vae(), x, **how)[NAME].verdict == "none"


def test_the_gain_over_columns_counts_known_labels():
    vae, x, label = linear_vae(), rows(), labels()
    pv.fit(vae, x, context=label, epochs=1, validation=None, progress=False)
    found = pv.evidence(vae, x, context=label, num_particles=30, progress=False)
    known = baseline(vae, torch.cat([x, label], -1), found)
    unknown = baseline(vae, torch.cat([x, np.nan * label], -1), found)
    log_p = vae.model.label().detach()[label[:4, 0].long()].sum() / len(x)
    assert known.number == pytest.approx(unknown.number - float(log_p), abs=1e-5)


@pytest.mark.slow
def test_unknown_labels_are_summed_out_of_the_evidence():
    vae, x, label = linear_vae(), rows(), labels()
    how = {"context": label, "num_particles": 400, "progress": False}
    found = pv.checkup(vae, x, **how)
    exact = exact_log_marginal(exact_log_joint(vae, x), label[:, 0]).mean()
    assert found.log_marginal == pytest.approx(exact, abs=0.05)
    assert found["log p(x) - ELBO"].verdict == "pass"
