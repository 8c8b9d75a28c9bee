"""Numbers that are not finite: the site, the rows and the batch are named, and may be left out."""

import math
import re

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_vae.guides.base import GUIDES
from pyro_vae.objectives import ELBO
from pyro_vae.training import checkpoint, fit
from pyro_vae.training.nonfinite import NotFiniteError
from tests.training.small import X, same, small, weights, without_clock

RUN = {"epochs": 3, "batch_size": 10, "validation": None, "device": "cpu"}
BAD = [7, 31]


def of_bad_rows(field):
    """The ELBO, of which a term is not finite for two rows."""
    bad = torch.tensor(X[BAD])

    def objective(model, guide, x, beta=1.0):
        terms = ELBO()(model, guide, x, beta)
        if not torch.is_grad_enabled():
            return terms
        hit = (x[:, None] == bad).all(2).any(1)
        change = torch.where(hit, math.nan, 0.0)
        changed = {field: getattr(terms, field) + change, "loss": terms.loss + change}
        return terms._replace(**changed)

    return objective


@pytest.mark.parametrize(
    ("field", "site"),
    [
        ("rate", "the KL to the prior, site 'z'"),
        ("distortion", "log p(x | z), site 'x'"),
    ],
)
def test_site_batch_and_rows_are_named(field, site):
    vae = small()
    with pytest.raises(NotFiniteError) as found:
        fit(vae, X, objective=of_bad_rows(field), **RUN)
    assert re.match(
        rf"fit: {re.escape(site)}: not finite in epoch 1 \(batch [1-5] of 5; rows? ",
        str(found.value),
    )
    assert set(found.value.rows) <= set(BAD)
    assert found.value.rows
    assert all(bool(value.isfinite().all()) for value in weights(vae).values())


def test_rows_are_numbered_as_they_were_given():
    """Validation rows are taken out of x, and the numbers are those of x."""
    options = RUN | {"validation": 0.1, "batch_size": 50}
    with pytest.raises(NotFiniteError) as found:
        fit(small(), X, objective=of_bad_rows("rate"), **options)
    assert list(found.value.rows) == [31]  # row 7 chooses the best epoch


def test_a_gradient_is_named_by_its_weights():
    vae = small()
    weight = dict(vae.named_parameters())["guide.posterior.encoder.1.weight"]
    weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(
        NotFiniteError,
        match=r"^fit: the gradient of 'guide\.posterior\.encoder\.1\.weight': not finite in ep",
    ):
        fit(vae, X, compile="off", **RUN)


def of_bad_gradients(model, guide, x, beta=1.0):
    """The ELBO, whose gradient alone is infinite for two rows."""
    terms = ELBO()(model, guide, x, beta)
    hit = (x[:, None] == torch.tensor(X[BAD])).all(2).any(1)
    loss = terms.loss
    if loss.requires_grad:
        factor = torch.where(hit, math.inf, 1.0)
        loss.register_hook(lambda gradient: gradient * factor)
    return terms._replace(loss=1.0 * loss)


def test_rows_of_a_gradient_are_named_with_their_labels():
    named = pd.DataFrame(X, index=[f"row {number}" for number in range(len(X))])
    with pytest.raises(NotFiniteError, match=r"the gradient of ") as found:
        fit(small(), named, objective=of_bad_gradients, **(RUN | {"batch_size": 50}))
    assert found.value.rows == tuple(BAD)
    assert "rows 7 ('row 7'), 31 ('row 31') of x)" in str(found.value)


def test_bad_batches_are_left_out_and_counted():
    """A step that is left out is one of plain gradient descent whose gradient is 0."""
    options = RUN | {"batch_size": 1, "epochs": 2, "optimizer": "sgd", "lr": 1e-3}
    vae = small()
    bad = of_bad_rows("distortion")
    run = fit(vae, X, objective=bad, **(options | {"on_nonfinite": "skip"}))
    assert run.skipped == 2 * len(BAD)
    assert (
        "4 steps were left out: their loss or gradient was not finite" in run.summary()
    )
    assert all(math.isfinite(value) for row in run.history for value in row.values())

    def without_gradient(model, guide, x, beta=1.0):
        hit = (x[:, None] == torch.tensor(X[BAD])).all(2).any()
        terms = ELBO()(model, guide, x, beta)
        return terms._replace(loss=terms.loss * float(not hit))

    other = small()
    fit(other, X, objective=without_gradient, **options)
    assert same(weights(vae), weights(other))


def test_nothing_is_left_of_an_epoch_of_bad_batches():
    bad = np.repeat(X[BAD], 5, axis=0)
    with pytest.raises(NotFiniteError, match="every batch: not finite in epoch 1"):
        fit(small(), bad, objective=of_bad_rows("rate"), on_nonfinite="skip", **RUN)


def test_a_resumed_run_has_its_count(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    options = RUN | {"on_nonfinite": "skip", "objective": of_bad_rows("rate")}
    vae = small()
    whole = fit(vae, X, **(options | {"schedule": lambda done: 1.0}))
    path = tmp_path / "run"

    class PowerCut(BaseException):
        pass

    def cut(done):
        if done > 0.5:
            raise PowerCut
        return 1.0

    with pytest.raises(PowerCut):
        fit(small(), X, schedule=cut, checkpoint=path, **options)
    again = small()
    run = fit(again, X, schedule=lambda done: 1.0, checkpoint=path, **options)
    assert run.skipped == whole.skipped > 0
    assert without_clock(run.history) == without_clock(whole.history)
    assert same(weights(vae), weights(again))


TOP = {"kind": "hierarchical", "top_dim": 1}
DIVERGING = {
    **{kind: {"guide": kind} for kind in ("mean_field", "full_rank", "low_rank")},
    **{
        kind: {"guide": {"kind": "flow", "transform": kind}}
        for kind in ("coupling", "autoregressive", "spline")
    },
    "semi_amortized": {"guide": "semi_amortized"},
    "hierarchical": {"guide": TOP, "prior": TOP},
    "delta": {"guide": "delta", "prior": "flat"},
}


def test_every_guide_is_tried():
    kinds = {small(**fields).spec.guide.kind for fields in DIVERGING.values()}
    assert kinds == set(GUIDES)


@pytest.mark.parametrize("name", DIVERGING)
def test_the_divergence_of_every_guide_is_one_sentence(name):
    vae = small(**DIVERGING[name])
    with pytest.raises(
        NotFiniteError, match=r"not finite in epoch .*lower lr"
    ) as found:
        fit(vae, X, optimizer="sgd", **(RUN | {"lr": 1e4, "epochs": 30}))
    assert len(str(found.value)) < 500
    assert all(bool(value.isfinite().all()) for value in weights(vae).values())


def test_skipping_is_eager():
    with pytest.raises(
        ValueError, match=r"^compile: expected 'auto' or 'off' with on_nonf"
    ):
        fit(small(), X, on_nonfinite="skip", compile="step", **RUN)
