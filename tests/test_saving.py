"""A saved model is loaded as it was; a folder has all of a run or nothing; damage is named."""

import json
import os
import shutil
import struct

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pyro_vae import saving
from pyro_vae.analysis import encode, evidence, reconstruct, sample
from pyro_vae.atomic_files import whole_files
from pyro_vae.checksums import file_sha256, sealed
from pyro_vae.rng import own_seed
from pyro_vae.saving import require_free
from pyro_vae.training import fit, load, save
from pyro_vae.vae import VAE
from tests.training.small import BITS, X, same, small, weights

FILES = ["model.safetensors", "spec.json"]


@pytest.fixture
def folder(tmp_path):
    """A folder that doesn't exist yet, in a folder of its own."""
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs" / "run"


@pytest.fixture
def saved(folder):
    """A folder with a run in it."""
    return save(small(seed=1), folder)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# There and back

MODELS = {
    "default": {},
    "full rank": {"guide": "full_rank"},
    "bits": {"likelihood": "bernoulli"},
    "counts": {"likelihood": {"kind": "binomial", "total_count": 3}},
    "decoder scale": {"likelihood": {"kind": "normal", "scale": "decoder"}},
    "autoencoder": {"prior": "flat", "guide": "delta"},
    "options": {
        "hidden_dims": (),
        "standardize": "all",
        "denoise": 0.1,
        "activation": "tanh",
        "seed": 5,
    },
    "gated": {
        "encoder": {"kind": "gated_mlp", "hidden_dims": (3,)},
        "decoder": "gated_mlp",
    },
}


@pytest.mark.parametrize("fields", MODELS.values(), ids=MODELS)
def test_a_model_comes_back_as_it_was(fields, folder):
    vae = small(**fields)
    fit(vae, BITS, epochs=1)
    assert save(vae, folder) == folder
    loaded = load(folder)
    assert loaded.spec == vae.spec
    assert str(loaded) == str(vae)
    assert same(weights(loaded), weights(vae))
    assert not loaded.training
    np.testing.assert_array_equal(encode(loaded, BITS).loc, encode(vae, BITS).loc)
    np.testing.assert_array_equal(reconstruct(loaded, BITS), reconstruct(vae, BITS))
    if fields.get("prior") != "flat":
        np.testing.assert_array_equal(sample(loaded, 5).x, sample(vae, 5).x)
        ours = evidence(loaded, BITS, num_particles=10)
        theirs = evidence(vae, BITS, num_particles=10)
        np.testing.assert_array_equal(ours.log_marginal, theirs.log_marginal)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_type_is_kept(dtype, folder):
    vae = small(prior=dist.Laplace(torch.zeros(2), 1.0).to_event(1)).to(dtype)
    if dtype != torch.bfloat16:
        fit(vae, X, epochs=1)
    save(vae, folder)
    loaded = load(folder, prior=dist.Laplace(torch.zeros(2), 1.0).to_event(1))
    assert {value.dtype for value in weights(loaded).values()} == {dtype, torch.bool}
    assert same(weights(loaded), weights(vae))
    assert (
        loaded.prior().sample().dtype
        == loaded.likelihood(torch.zeros(1, 2, dtype=dtype)).mean.dtype
        == dtype
    )


def test_buffers_outside_the_file_have_the_type_too(folder):
    save(small().double(), folder)
    assert load(folder).prior().sample().dtype == torch.float64


def test_a_loaded_model_is_trained_on(folder):
    vae = small()
    fit(vae, X, epochs=1)
    save(vae, folder)
    loaded = load(folder)
    assert loaded.initialized
    again = [
        fit(model, 10 * X, epochs=2).history[-1]["loss"] for model in (vae, loaded)
    ]
    assert again[0] == again[1]
    assert same(weights(vae), weights(loaded))


def test_an_untrained_model_stays_untrained(folder):
    assert not load(save(small(), folder)).initialized


def test_the_folder_holds_two_readable_files_and_no_pickle(saved):
    assert names(saved) == FILES
    description = json.loads((saved / "spec.json").read_text(encoding="utf-8"))
    assert (description["format"], description["library"]) == (2, "pyro_vae")
    assert description["model"]["likelihood"]["kind"] == "normal"
    assert load_file(saved / "model.safetensors").keys() == weights(small()).keys()


def test_loading_executes_nothing_and_needs_no_data(saved, monkeypatch):
    for function in ("load", "save"):
        monkeypatch.setattr(torch, function, lambda *_, **__: pytest.fail("a pickle"))
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("data"))
    load(saved)


def test_a_folder_may_be_a_string_and_its_parents_are_made(tmp_path):
    path = str(tmp_path / "a" / "b" / "run")
    save(small(), path)
    assert same(weights(load(path)), weights(small()))


def test_saving_leaves_the_model(folder):
    vae = small().train()
    before = weights(vae)
    save(vae, folder)
    assert vae.training
    assert same(before, weights(vae))


def test_the_folder_has_the_permissions_of_any_folder(saved):
    made = saved.parent / "by hand"
    made.mkdir()
    assert saved.stat().st_mode == made.stat().st_mode


# Parts of the user's


class Encoder(nn.Module):
    """A part with weights, a buffer, and a weight that it uses twice."""

    def __init__(self, width=6):
        super().__init__()
        self.first, self.second = (
            nn.Linear(4, width, bias=False),
            nn.Linear(4, width, bias=False),
        )
        self.second.weight = self.first.weight
        self.register_buffer("shift", torch.rand(width))

    def forward(self, x):
        return torch.tanh(self.first(x) + self.second(x) + self.shift)


class Prior(nn.Module):
    """A learned prior."""

    def __init__(self):
        super().__init__()
        self.loc = nn.Parameter(torch.rand(2))

    def forward(self):
        return dist.Normal(self.loc, 1.0).to_event(1)


def parts(seed, width=6):
    with own_seed(seed):
        return {"encoder": Encoder(width), "prior": Prior()}


def test_own_modules_are_asked_for_by_name_and_take_their_weights_from_the_file(folder):
    vae = VAE(data_shape=(4,), latent_dim=2, **parts(1))
    fit(vae, X, epochs=1)
    save(vae, folder)
    with pytest.raises(
        ValueError, match=r"prior=<your .*Prior>, encoder=<your .*Encoder>\)"
    ) as found:
        load(folder)
    assert str(folder) in str(found.value)
    given = parts(2)
    with pytest.raises(
        ValueError, match=r"pass them: load\(folder, prior=<your .*Prior>\)"
    ):
        load(folder, encoder=given["encoder"])
    loaded = load(folder, **given)
    assert same(weights(loaded), weights(vae))
    assert loaded.posterior.encoder is given["encoder"]
    assert given["encoder"].first.weight is given["encoder"].second.weight
    np.testing.assert_array_equal(encode(loaded, X).loc, encode(vae, X).loc)


def test_a_plain_distribution_is_asked_for_too(folder):
    def prior(scale):
        return dist.Laplace(torch.zeros(2), scale).to_event(1)

    vae = small(prior=prior(3.0))
    save(vae, folder)
    with pytest.raises(
        ValueError, match=r"pass them: load\(folder, prior=<your .*Independent>\)"
    ):
        load(folder)
    loaded = load(folder, prior=prior(3.0))
    np.testing.assert_array_equal(sample(loaded, 9).z, sample(vae, 9).z)


def test_a_part_of_another_size_is_refused(folder):
    save(VAE(data_shape=(4,), latent_dim=2, **parts(1)), folder)
    with pytest.raises(
        ValueError,
        match=r"model\.safetensors: damaged, or of another model(?s:.*)size mismatch",
    ):
        load(folder, **parts(1, width=7))


def test_a_part_that_does_not_fit_is_refused(folder):
    save(VAE(data_shape=(4,), latent_dim=2, **parts(1)), folder)
    with pytest.raises(ValueError, match="encoder"):
        load(folder, **{**parts(1), "encoder": nn.Linear(5, 6)})


@pytest.mark.parametrize("slot", ["encoder", "prior", "colour"])
def test_a_part_too_many_is_refused(slot, saved):
    with pytest.raises(
        ValueError,
        match=rf"run: the saved model brings its own {slot}; expected parts: \[\]",
    ):
        load(saved, **{slot: nn.Linear(4, 4)})


# A folder that is taken


def test_another_run_is_replaced_only_on_demand(saved):
    before = contents(saved)
    with pytest.raises(
        ValueError,
        match=r"run: holds another run; choose another folder, or .*overwrite=True",
    ):
        save(small(seed=2), saved)
    assert contents(saved) == before
    save(small(seed=2), saved, overwrite=True)
    assert same(weights(load(saved)), weights(small(seed=2)))


@pytest.mark.parametrize("name", FILES)
def test_half_a_run_is_a_run(name, folder):
    folder.mkdir()
    (folder / name).write_text("")
    with pytest.raises(ValueError, match="holds another run"):
        require_free(folder)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_no_folder(overwrite, folder):
    folder.write_text("mine")
    with pytest.raises(
        ValueError, match="run: expected a folder to write to, got a file"
    ):
        save(small(), folder, overwrite=overwrite)
    assert folder.read_text() == "mine"
    with pytest.raises(
        ValueError,
        match=r"run: holds no saved model: spec\.json can't be read \(Not a directory\)",
    ):
        load(folder)


@pytest.mark.parametrize("overwrite", [False, True])
def test_other_files_in_the_folder_stay(overwrite, folder):
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    save(small(), folder, overwrite=overwrite)
    assert names(folder) == [FILES[0], "notes.txt", FILES[1]]
    assert (folder / "notes.txt").read_text() == "mine"


# Failures in the middle

FULL = OSError(28, "No space left on device")


def fails(*_, **__):
    raise FULL


def fails_half_way(weights, path):
    """Like a disk that is full after some bytes."""
    path.write_bytes(b"half")
    raise FULL


def fails_at(call):
    """`os.replace`, whose n-th call fails."""
    calls, replace = [], os.replace

    def flaky(source, target):
        calls.append((source, target))
        if len(calls) == call:
            raise FULL
        replace(source, target)

    return flaky


def breaks(monkeypatch, how):
    if isinstance(how, int):
        monkeypatch.setattr(os, "replace", fails_at(how))
    elif how == "weights":
        monkeypatch.setattr(saving, "save_tensors", fails_half_way)
    else:
        monkeypatch.setattr(saving.json, "dumps", fails)


@pytest.mark.parametrize("how", ["weights", "description", 1])
def test_a_failed_save_leaves_nothing(how, folder, monkeypatch):
    breaks(monkeypatch, how)
    with pytest.raises(OSError, match="No space left"):
        save(small(), folder)
    assert names(folder.parent) == []
    monkeypatch.undo()
    save(small(), folder)
    assert names(folder.parent) == ["run"]


@pytest.mark.parametrize("how", ["weights", "description", 1, 2])
def test_a_failed_overwrite_leaves_the_former_run(how, saved, monkeypatch):
    before = contents(saved)
    breaks(monkeypatch, how)
    with pytest.raises(OSError, match="No space left"):
        save(small(seed=2), saved, overwrite=True)
    assert contents(saved) == before
    assert names(saved.parent) == ["run"]


@pytest.mark.parametrize("how", [1, 2])
def test_a_failed_save_beside_other_files_leaves_them_alone(how, folder, monkeypatch):
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    breaks(monkeypatch, how)
    with pytest.raises(OSError, match="No space left"):
        save(small(), folder)
    assert contents(folder) == {"notes.txt": b"mine"}
    assert names(folder.parent) == ["run"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
def test_files_of_a_block_that_fails_are_gone(error, saved):
    before = contents(saved)

    def block():
        with whole_files(saved) as draft:
            (draft / "spec.json").write_text("half")
            raise error

    with pytest.raises(error):
        block()
    assert contents(saved) == before
    assert names(saved.parent) == ["run"]


def test_files_of_a_block_replace_their_namesakes(saved):
    with whole_files(saved) as draft:
        (draft / "metrics.json").write_text("{}")
        (draft / "spec.json").write_text("new")
        assert draft.parent.parent == saved  # the same disk: moving is renaming
    assert names(saved) == ["metrics.json", *FILES]
    assert (saved / "spec.json").read_text() == "new"


# Damage


def rewrite(folder, **changes):
    """Another description, with the checksum of its own content."""
    description = json.loads((folder / "spec.json").read_text()) | changes
    (folder / "spec.json").write_text(json.dumps(sealed(description)))


def model_with(folder, **changes):
    description = json.loads((folder / "spec.json").read_text())
    rewrite(folder, model={**description["model"], **changes})


FOREIGN = r"spec\.json: expected a description written by pyro_vae, got something else"
SPEC_DAMAGE = {
    "missing": (
        lambda f: (f / "spec.json").unlink(),
        r"holds no saved model: spec\.json can't be read \(No such file",
    ),
    "no folder": (
        shutil.rmtree,
        r"holds no saved model: spec\.json can't be read \(No such file",
    ),
    "a folder": (
        lambda f: ((f / "spec.json").unlink(), (f / "spec.json").mkdir()),
        r"can't be read \(Is a directory\)",
    ),
    "empty": (lambda f: (f / "spec.json").write_text(""), r"spec\.json: damaged"),
    "cut off": (
        lambda f: (f / "spec.json").write_text((f / "spec.json").read_text()[:50]),
        r"spec\.json: damaged",
    ),
    "bytes": (
        lambda f: (f / "spec.json").write_bytes(b"\xff\xfe\x00"),
        r"spec\.json: damaged",
    ),
    "a list": (
        lambda f: (f / "spec.json").write_text("[1]"),
        FOREIGN,
    ),
    "foreign": (
        lambda f: (f / "spec.json").write_text('{"model": {}}'),
        FOREIGN,
    ),
    "another library": (
        lambda f: rewrite(f, library="other"),
        FOREIGN,
    ),
    "another format": (
        lambda f: rewrite(f, format=3),
        r"spec\.json: expected format 2, got 3; update pyro_vae",
    ),
    "no format": (
        lambda f: rewrite(f, format=None),
        r"spec\.json: expected format 2, got None",
    ),
    "no model": (
        lambda f: rewrite(f, model=None),
        r"spec\.json: damaged, or written by another version",
    ),
    "no key for it": (
        lambda f: (f / "spec.json").write_text('{"library": "pyro_vae", "format": 1}'),
        r"spec\.json: damaged, or written by another version",
    ),
    "unknown kind": (
        lambda f: model_with(f, prior={"kind": "odd"}),
        r"spec\.json: .*unknown prior 'odd'",
    ),
    "unknown field": (lambda f: model_with(f, colour="red"), r"spec\.json: .*colour"),
    "bad value": (lambda f: model_with(f, latent_dim=0), r"spec\.json: .*latent_dim"),
}


@pytest.mark.parametrize("damage", SPEC_DAMAGE)
def test_a_damaged_description_is_named(damage, saved):
    spoil, message = SPEC_DAMAGE[damage]
    spoil(saved)
    with pytest.raises(ValueError, match=f"(?s){message}") as found:
        load(saved)
    assert str(saved) in str(found.value)


def edit_weights(change):
    def spoil(folder):
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")
        digest = file_sha256(folder / "model.safetensors")
        rewrite(folder, files={"model.safetensors": digest})

    return spoil


def edit_bytes(change):
    return lambda folder: (folder / FILES[0]).write_bytes(
        change((folder / FILES[0]).read_bytes())
    )


LARGEST = "guide.posterior.encoder.1.weight"
WEIGHT_DAMAGE = {
    "missing": lambda f: (f / FILES[0]).unlink(),
    "a folder": lambda f: ((f / FILES[0]).unlink(), (f / FILES[0]).mkdir()),
    "empty": edit_bytes(lambda data: b""),
    "garbage": edit_bytes(lambda data: bytes(range(256)) * 9),
    "text": edit_bytes(lambda data: b"hello"),
    "a pickle": edit_bytes(lambda data: b"\x80\x04\x95" + data),
    "one byte short": edit_bytes(lambda data: data[:-1]),
    "half": edit_bytes(lambda data: data[: len(data) // 2]),
    "a header only": edit_bytes(lambda data: data[:30]),
    "an endless header": edit_bytes(lambda data: struct.pack("<Q", 2**62) + data[8:]),
    "too long": edit_bytes(lambda data: data + b"x"),
    "of another size": lambda f: model_with(f, latent_dim=3),
    "of another kind": lambda f: model_with(f, likelihood={"kind": "bernoulli"}),
    "one tensor fewer": edit_weights(lambda tensors: tensors.pop(LARGEST)),
    "one tensor more": edit_weights(
        lambda tensors: tensors.update(surplus=torch.zeros(1))
    ),
    "one transposed": edit_weights(
        lambda tensors: tensors.update({LARGEST: tensors[LARGEST].T.contiguous()})
    ),
    "nothing in it": edit_weights(dict.clear),
}


@pytest.mark.parametrize("damage", WEIGHT_DAMAGE)
def test_damaged_weights_are_named(damage, saved):
    WEIGHT_DAMAGE[damage](saved)
    with pytest.raises(
        ValueError,
        match=r"model\.safetensors: damaged, or of another model than .*spec\.json",
    ) as found:
        load(saved)
    assert str(saved) in str(found.value)


def test_a_folder_of_the_format_without_checksums_is_read(saved):
    before = weights(load(saved))
    description = json.loads((saved / "spec.json").read_text())
    former = {name: description[name] for name in ("library", "model")}
    (saved / "spec.json").write_text(json.dumps({"format": 1, **former}))
    assert same(weights(load(saved)), before)


def test_what_was_changed_on_purpose_is_read_as_the_message_says(saved):
    text = (saved / "spec.json").read_text()
    (saved / "spec.json").write_text(text.replace('"silu"', '"tanh"'))
    with pytest.raises(
        ValueError,
        match=r"spec\.json: damaged, or changed .* unchecked with \"format\": 1",
    ):
        load(saved)
    changed = json.loads((saved / "spec.json").read_text()) | {"format": 1}
    (saved / "spec.json").write_text(json.dumps(changed))
    assert load(saved).spec.activation == "tanh"
