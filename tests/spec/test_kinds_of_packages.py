"""Kinds from outside: registered at run time, or entry points of an installed package."""

import importlib
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import pyro_vae as pv
from pyro_vae.experiment.description import Experiment
from pyro_vae.priors import PRIORS, Vamp
from tests.cli.command import pyro_vae

ROOT = Path(__file__).parents[2]
KINDS = '''
import pyro.distributions as dist
import torch
from torch import nn
from pyro_vae.likelihoods import LIKELIHOODS
from pyro_vae.priors import PRIORS, Constant

@PRIORS.register("cauchy")
class Cauchy(nn.Module):
    """Heavy tails. Very."""

    def __init__(self, latent_dim, *, scale: float = 1.0):
        super().__init__()
        self.scale = nn.Parameter(torch.full((latent_dim,), scale))

    def forward(self):
        return dist.Cauchy(torch.zeros_like(self.scale), self.scale).to_event(1)

def later(latent_dim, *, width: float = 2.0):
    """Wide."""
    return Constant(dist.Normal(torch.zeros(latent_dim), width).to_event(1))
'''
Install = Callable[..., None]


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the module, in the path and as working folder; the registry is restored."""
    (tmp_path / "my_kinds.py").write_text(KINDS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(PRIORS, "_constructors", dict(PRIORS._constructors))
    monkeypatch.delitem(sys.modules, "my_kinds", raising=False)
    return tmp_path


@pytest.fixture
def install(site: Path) -> Install:
    """Write the metadata of an installed package with these entry points for priors."""

    def write(package: str, **priors: str) -> None:
        folder = site / f"{package}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
        )
        lines = [f"{name} = {value}" for name, value in priors.items()]
        (folder / "entry_points.txt").write_text(
            "\n".join(["[pyro_vae.priors]", *lines, ""])
        )

    return write


FIELDS: dict[str, Any] = {
    "data_shape": (4,),
    "latent_dim": 3,
    "prior": {"kind": "cauchy", "scale": 3},
}


def kinds_in_the_schema() -> list[str]:
    schema: dict[str, Any] = pv.Spec.model_json_schema()
    by_name, by_table = schema["properties"]["prior"]["anyOf"]
    assert [table["$ref"] for table in by_table["oneOf"]] == [
        *(f"#/$defs/{kind}_prior" for kind in by_name["enum"]),
        "#/$defs/Custom",
    ]
    return list(by_name["enum"])


def test_a_kind_may_be_registered_at_any_time() -> None:
    """After everything that takes one was imported and used: it goes wherever a name goes."""
    assert "cauchy" not in kinds_in_the_schema()
    with pytest.raises(
        ValueError, match=r"prior 'cauchy'; allowed.*import its module first"
    ):
        pv.Spec(**FIELDS)
    cauchy = importlib.import_module("my_kinds").Cauchy
    for model in (pv.Spec, Experiment):
        described = model(**FIELDS)
        assert described.model_dump()["prior"] == {"kind": "cauchy", "scale": 3.0}
        assert model.model_validate_json(described.model_dump_json()) == described
    assert kinds_in_the_schema()[-1] == "cauchy"
    with pytest.raises(
        ValueError,
        match=r"^prior\.cauchy\.scale: Input should be a valid number.*, got \'big\'",
    ):
        pv.Spec(**FIELDS | {"prior": {"kind": "cauchy", "scale": "big"}})
    nested = {"kind": "hierarchical", "top_dim": 1, "top": FIELDS["prior"]}
    assert isinstance(pv.VAE(**FIELDS | {"prior": nested}).prior.top, cauchy)


@pytest.mark.slow
def test_its_model_is_saved_and_loaded_by_another_process(site: Path) -> None:
    importlib.import_module("my_kinds")
    vae = pv.VAE(**FIELDS)
    torch.nn.init.constant_(vae.prior.scale, 5.0)
    pv.save(vae, "run")
    program = """
import pytest, pyro_vae as pv
message = "unknown prior 'cauchy'.*; one of your own[?] import its module first"
with pytest.raises(ValueError, match=message):
    pv.load("run")
import my_kinds
assert pv.load("run").prior.scale.tolist() == [5, 5, 5]
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(site)])}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_an_entry_point_is_a_kind(install: Install) -> None:
    """It is loaded when it is asked for, and not before."""
    install("wide-priors", cauchy="my_kinds:Cauchy", wide="my_kinds:later")
    assert {"cauchy", "wide"} <= set(PRIORS)
    assert len(PRIORS) == len(list(PRIORS))
    assert pv.Spec(data_shape=(4,)).prior.kind == "standard_normal"
    assert "my_kinds" not in sys.modules
    vae = pv.VAE(data_shape=(4,), latent_dim=2, prior={"kind": "wide", "width": 3})
    assert vae.prior().stddev.tolist() == [3, 3]
    assert pv.Spec(data_shape=(4,), prior="cauchy").prior.options() == {
        "scale": 1.0
    }  # which the module registered
    assert {"cauchy", "wide"} <= set(kinds_in_the_schema())
    assert pv.Spec(data_shape=(4,), prior="cauchy") == pickle.loads(
        pickle.dumps(pv.Spec(data_shape=(4,), prior="cauchy"))
    )


def test_the_command_lists_it(install: Install) -> None:
    install("wide-priors", cauchy="my_kinds:Cauchy", wide="my_kinds:later")
    listed = pyro_vae("kinds", "priors")
    assert (listed.status, listed.err) == (0, "")
    assert {"  cauchy           Heavy tails.", "  wide             Wide."} <= set(
        listed.out.splitlines()
    )
    described = pyro_vae("kinds", "priors", "--json").json["priors"]
    assert described["cauchy"] == {
        "summary": "Heavy tails.",
        "required": [],
        "defaults": {"scale": 1.0},
    }


BROKEN = {
    "gone": (
        r"of package gone-priors \(no_such_module:Gone\) can't be loaded: ModuleNotFoundError: "
        r"No module named"
    ),
    "number": r"of package gone-priors \(math:pi\): expected a class or a function, got float",
    "wide": (
        r"exists twice, in the packages (gone|twin)-priors .* and (gone|twin)-priors .*; "
        r"uninstall one of them"
    ),
}


def test_a_broken_entry_point_is_named_and_the_others_stay(install: Install) -> None:
    install(
        "gone-priors",
        gone="no_such_module:Gone",
        number="math:pi",
        wide="my_kinds:later",
        good="my_kinds:later",
    )
    install("twin-priors", wide="my_kinds:Cauchy")
    for kind, message in BROKEN.items():
        with pytest.raises(ValueError, match=f"^prior: prior kind '{kind}' {message}"):
            pv.VAE(data_shape=(4,), prior=kind)
    with pytest.warns(UserWarning, match="prior kind"):
        assert set(kinds_in_the_schema()) >= {"good", "vamp"}
    for json in ([], ["--json"]):
        listed = pyro_vae("kinds", "priors", *json)
        assert listed.status == 0
        for kind, message in BROKEN.items():
            assert re.search(
                f"^pyro-vae: prior kind '{kind}' {message}", listed.err, re.MULTILINE
            )
            assert kind not in listed.out
        assert "vamp" in listed.out
        assert "good" in listed.out


def test_a_name_of_ours_stays_ours(install: Install) -> None:
    install("greedy-priors", vamp="my_kinds:later")
    assert PRIORS["vamp"] is Vamp
    listed = pyro_vae("kinds", "priors")
    assert listed.err == (
        "pyro-vae: prior kind 'vamp' of package greedy-priors (my_kinds:later) is not used: "
        "pyro_vae.priors.vamp.Vamp has the name\n"
    )
    assert "\n  vamp             p(z) = 1/K" in listed.out
