"""Weights of rows: the loss is Σ wᵢ lossᵢ / Σ wᵢ, so a row of weight 2 counts as that row twice."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from pyro_vae.objectives import ELBO, Terms
from pyro_vae.training import fit
from pyro_vae.training.validation_split import select_part
from tests.training.small import X, same, small, weights, without_clock

ALL = {
    "batch_size": 50,
    "validation": None,
    "schedule": "constant",
    "optimizer": "sgd",
    "lr": 1e-2,
}
W = np.random.default_rng(1).gamma(1.0, size=50)


def squares(model, guide, x, beta=1.0):
    """An objective without noise; the loss of a row depends on it and on a weight."""
    q = guide.posterior(x)
    loss = (q.mean.sum(-1) - x.sum(-1)).square()
    return Terms(torch.zeros_like(loss), loss, {}, loss)


def after(x, **options):
    vae = small()
    vae.initialized.fill_(True)
    history = fit(vae, x, objective=squares, **{**ALL, **options}).history
    return without_clock(history), weights(vae)


def test_whole_weights_are_repeated_rows():
    """One step down the gradient is the same for weights 1, 2, 3 and for rows so many times."""
    counts = np.random.default_rng(0).integers(1, 4, size=50)
    one = after(X, weights=counts, epochs=3)
    other = after(np.repeat(X, counts, 0), epochs=3, batch_size=counts.sum())
    for name, value in one[1].items():
        torch.testing.assert_close(value, other[1][name], rtol=1e-4, atol=1e-5)
    assert one[0][-1]["loss"] == pytest.approx(other[0][-1]["loss"], rel=1e-5)


def test_weights_of_zero_leave_rows_out():
    kept = np.arange(50) < 30
    one = after(X, weights=kept, epochs=3)
    other = after(X[:30], epochs=3)
    for name, value in one[1].items():
        torch.testing.assert_close(value, other[1][name], rtol=1e-4, atol=1e-5)


def test_only_their_ratios_matter():
    one = after(X, weights=W, epochs=2, batch_size=16)
    other = after(X, weights=1024 * W, epochs=2, batch_size=16)
    assert one[0] == other[0]
    assert same(one[1], other[1])


def test_equal_weights_are_none():
    one = fit(small(), X, weights=np.full(50, 2.5), epochs=3, batch_size=16).history
    other = fit(small(), X, epochs=3, batch_size=16).history
    for row, like in zip(without_clock(one), without_clock(other), strict=True):
        assert row == pytest.approx(like, rel=1e-4)


class Listed(Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


@pytest.mark.parametrize(
    "make", [lambda: X, lambda: Listed(X)], ids=["array", "Dataset"]
)
@pytest.mark.parametrize("validation", [None, 0.3])
def test_every_row_meets_its_own_weight(make, validation):
    """The first column of each row is its weight, so the rows themselves give weighted means."""
    x = np.concatenate([W[:, None], X[:, 1:]], 1).astype(np.float32)
    rows = Listed(x) if isinstance(make(), Listed) else x

    def weight_itself(model, guide, batch, beta=1.0):
        terms = ELBO()(model, guide, batch, beta)
        return Terms(
            0 * terms.rate, batch[:, 0], terms.kl, batch[:, 0] + 0 * terms.loss
        )

    run = fit(
        small(),
        rows,
        weights=W,
        objective=weight_itself,
        epochs=2,
        batch_size=16,
        validation=validation,
    )
    train, valid = select_part(_rows(x), validation, 0)
    used = torch.cat(list(train.batches(50)))[:, 0].double()
    expected = float((used * used).sum() / used.sum())
    assert run.history[1]["loss"] == pytest.approx(expected, rel=1e-5)
    if valid is not None:
        other = torch.cat(list(valid.batches(50)))[:, 0].double()
        expected = float((other * other).sum() / other.sum())
        assert run.history[1]["val_loss"] == pytest.approx(expected, rel=1e-5)


def _rows(x):
    from pyro_vae.data import as_rows

    return as_rows(x, (4,))


BAD = {
    "too few": (
        dict(weights=np.ones(49)),
        r"^weights: expected one for each of the 50 rows, got shape \(49,\)",
    ),
    "a column": (
        dict(weights=np.ones((50, 1))),
        r"^weights: expected one for each of the 50 rows, got shape",
    ),
    "negative": (
        dict(weights=np.where(np.arange(50) == 7, -1.0, 1.0)),
        r"^weights: .* got -1 in row 7",
    ),
    "not a number": (
        dict(weights=np.where(np.arange(50) == 3, np.nan, 1.0)),
        r"^weights: .* got nan in row 3",
    ),
    "zeros": (dict(weights=np.zeros(50)), r"^weights: expected some above 0"),
    "compiled": (
        dict(weights=W, compile="step"),
        r"^compile: expected 'auto' or 'off' with weights",
    ),
    "a loader": (
        dict(
            x=DataLoader(TensorDataset(torch.as_tensor(X)), batch_size=16),
            weights=W,
            validation=None,
        ),
        r"^weights: expected x as an array or a Dataset, got a DataLoader",
    ),
    "hidden in a TensorDataset": (
        dict(x=TensorDataset(torch.as_tensor(X), torch.as_tensor(W))),
        r"^x: expected rows alone.*weights=dataset.tensors\[1\]",
    ),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_what_can_not_be_weighted_is_refused(options, message):
    vae = small()
    before = weights(vae)
    with pytest.raises(ValueError, match=message):
        fit(vae, **{"x": X, "epochs": 2, **options})
    assert same(weights(vae), before)


def test_labels_are_no_weights():
    labels = torch.zeros(50, dtype=torch.int64)
    assert fit(small(), TensorDataset(torch.as_tensor(X), labels), epochs=1).history
