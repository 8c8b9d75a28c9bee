"""`progress` of every function: None shows a bar on a terminal and in a notebook."""

import inspect
import sys

import pytest

import pyro_vae as pv
from pyro_vae import analysis
from pyro_vae import progress_bar as module
from pyro_vae.progress_bar import is_interactive, progress_bar


class tqdm_notebook:
    """Stands in for the bar of a notebook."""

    def __init__(self, **options):
        self.options = options


def is_shown(progress):
    return not progress_bar(progress, total=3).disable


def test_true_and_false_decide():
    assert is_shown(True)
    assert not is_shown(False)


def test_a_log_has_no_bar():
    assert not is_interactive()
    assert not is_shown(None)


def test_a_terminal_has_a_bar(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert is_interactive()
    assert is_shown(None)


@pytest.mark.parametrize(
    ("progress", "hidden"), [(None, False), (True, False), (False, True)]
)
def test_a_notebook_has_a_bar(progress, hidden, monkeypatch):
    monkeypatch.setattr(module, "Bar", tqdm_notebook)
    assert is_interactive()
    assert progress_bar(progress, total=3).options["disable"] is hidden


def asks(room):
    """The public functions of a room that have a bar, with their default."""
    functions = [getattr(room, name) for name in room.__all__]
    for function in filter(inspect.isfunction, functions):
        parameters = inspect.signature(function).parameters
        if "progress" in parameters:
            yield function.__name__, parameters["progress"].default


def test_none_is_the_default_everywhere():
    defaults = dict(asks(pv)) | dict(asks(analysis))
    assert {"fit", "evidence", "annealed", "calibration", "latent_use"} <= set(defaults)
    assert set(defaults.values()) == {None}
