"""Rows and their contexts from Datasets and DataLoaders, as pairs."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import pyro_vae as pv
from pyro_vae import VAE
from pyro_vae.analysis.marginal_likelihood import sharded
from tests.effects.linear import drawn, exact_vae, log_given, posterior

RNG = np.random.default_rng(0)
X = torch.tensor(RNG.normal(size=(20, 2, 2)), dtype=torch.float32)
C = torch.tensor(RNG.normal(size=(20, 2)), dtype=torch.float32)
HOW = {"epochs": 2, "batch_size": 8, "progress": False}


class Pairs(Dataset):
    """Rows whose contexts are made of them in several ways."""

    def __init__(self, contexts=C, x=X):
        self.x, self.contexts = x, contexts

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index], self.contexts[index]


class Stream(IterableDataset):
    def __iter__(self):
        return zip(X, C, strict=True)


def model(**fields):
    whole = {"data_shape": (2, 2), "latent_dim": 2, "hidden_dims": (4,)}
    return VAE(**{**whole, "context": {"dim": 2}, **fields})


def weights(x, context=None, vae=None, **options):
    vae = model() if vae is None else vae
    pv.fit(vae, x, context=context, **{**HOW, "validation": None, **options})
    return torch.cat([one.detach().flatten() for one in vae.parameters()])


@pytest.fixture(scope="module")
def expected():
    """The weights of rows in arrays, in their order."""
    loader = DataLoader(Pairs(), batch_size=8)
    return weights(loader)


def in_dicts(batch):
    x, context = zip(*batch, strict=True)
    return {"image": torch.stack(x), "context": torch.stack(context)}


LOADERS = {
    "of tuples": DataLoader(Pairs([tuple(row) for row in C.tolist()]), batch_size=8),
    "of dicts": DataLoader(Pairs(), batch_size=8, collate_fn=in_dicts),
    "of a TensorDataset": DataLoader(TensorDataset(X, C), batch_size=8),
}


@pytest.mark.parametrize("name", LOADERS)
def test_pairs_of_any_kind_train_alike(name, expected):
    torch.testing.assert_close(weights(LOADERS[name]), expected, rtol=1e-5, atol=1e-6)


def test_a_stream_has_a_length_after_a_pass():
    vae = model()
    weights(DataLoader(Stream(), batch_size=8), vae=vae)
    assert all(torch.isfinite(one).all() for one in vae.parameters())
    expected = pv.encode(vae, X, context=C).loc
    np.testing.assert_array_equal(pv.encode(vae, Stream()).loc, expected)


@pytest.mark.parametrize("rows", [Pairs(), TensorDataset(X, C)], ids=["own", "tensors"])
def test_a_dataset_is_its_arrays(rows):
    """In the same random order, with the same validation rows."""
    options = {"validation": 5}
    found = weights(rows, **options)
    torch.testing.assert_close(found, weights(X, C, **options), rtol=0, atol=1e-7)


def test_batches_are_read_in_each_pass_and_not_kept():
    passes = []

    class Counted(Pairs):
        def __getitem__(self, index):
            passes.append(index)
            return super().__getitem__(index)

    weights(DataLoader(Counted(), batch_size=8), epochs=3)
    before = 3  # the check, the moments of rows, and those of contexts
    assert (np.bincount(passes)[8:] == before + 3).all()


def test_validation_rows_in_a_loader(tmp_path):
    loader = DataLoader(Pairs(), batch_size=8)
    how = {**HOW, "schedule": "constant", "checkpoint": tmp_path / "state"}
    run = pv.fit(model(), loader, validation=DataLoader(Pairs(), batch_size=5), **how)
    assert np.isfinite(run.history[-1]["val_loss"])
    valid = DataLoader(Pairs(), batch_size=5)
    again = pv.fit(model(), loader, validation=valid, **{**how, "epochs": 3})
    assert len(again.history) == 3


def test_answers_about_rows_in_a_loader_are_those_of_arrays():
    vae = model()
    for loader in (DataLoader(Pairs(), batch_size=6), Pairs(), TensorDataset(X, C)):
        codes = pv.encode(vae, loader)
        np.testing.assert_array_equal(codes.loc, pv.encode(vae, X, context=C).loc)
    how = {"num_particles": 30, "proposal": "guide", "progress": False}
    found = pv.evidence(vae, DataLoader(Pairs(), batch_size=6), **how)
    arrays = pv.evidence(vae, X, context=C, **how)
    np.testing.assert_allclose(found.log_marginal, arrays.log_marginal, rtol=1e-6)


def test_labels_in_a_loader():
    label = torch.arange(20.0) % 3
    label[7:] = torch.nan
    vae = model(context={"label": 3})
    weights(DataLoader(Pairs(label), batch_size=8), vae=vae)
    how = {"num_particles": 30, "proposal": "guide", "progress": False}
    found = pv.evidence(vae, DataLoader(Pairs(label), batch_size=8), **how)
    arrays = pv.evidence(vae, X, context=label[:, None], **how)
    np.testing.assert_allclose(found.log_marginal, arrays.log_marginal, rtol=1e-6)


def test_effects_are_counted_by_the_rows_that_a_loader_gives():
    frame, _ = drawn()
    vae = exact_vae(frame)
    x = frame[["x", "y"]].to_numpy(copy=True)
    contexts = frame[["batch", "age"]].to_dict("records")
    loader = DataLoader(Pairs(contexts, x), batch_size=5, drop_last=True)
    u = posterior(frame)[0][[int(name[1]) for name in frame["batch"]]]
    how = {"num_particles": 50, "proposal": "guide", "progress": False}
    found = pv.evidence(vae, DataLoader(Pairs(contexts, x), batch_size=5), **how)
    np.testing.assert_allclose(found.log_marginal, log_given(frame, u), atol=1e-5)
    pv.fit(vae, loader, epochs=1, validation=None, progress=False)
    assert len(frame) == 12
    assert int(vae.model.effects.rows) == 10


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (DataLoader(X, batch_size=8), "expected batches that are pairs .* got Tensor"),
        (DataLoader(Pairs(x=X[:, 0]), batch_size=8), r"expected rows of shape \(2, 2\)"),
        (Pairs(C[:, 0]), r"expected shape \(n, 2\), 2 numbers for each row"),
        (Pairs(C / 0), "expected a value in each row, since a context is given"),
        (TensorDataset(X), r"expected what is given with each row"),
    ],
)  # fmt: skip
def test_pairs_that_do_not_fit(rows, message):
    with pytest.raises(ValueError, match=message):
        weights(rows)


def test_numbers_that_would_be_rounded_are_refused_as_in_arrays():
    far = X.double() + 1e9
    for call in (pv.encode, weights):
        arguments = (model(), Pairs(x=far)) if call is pv.encode else (Pairs(x=far),)
        with pytest.raises(ValueError, match="float32, the type of the model, rounds"):
            call(*arguments)


def test_several_processes_do_not_divide_a_loader(monkeypatch):
    monkeypatch.setattr(sharded, "world_size", lambda: 2)
    with pytest.raises(ValueError, match="got a DataLoader; pass its dataset"):
        sharded.sharded_evidence(model(), DataLoader(Pairs(), batch_size=8))
