"""What is seen while a run goes on: a bar, lines in a log, or nothing."""

import pytest

from pyro_vae.training import fit, progress
from tests.training.small import X, small


def test_a_log_gets_a_line_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    fit(small(), X, epochs=3, batch_size=16, validation=2)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        f"fit: {steps} of 9 steps" for steps in (3, 6, 9)
    ]
    assert all("validation" in line and line.endswith("min left") for line in lines)


def test_a_short_run_leaves_a_log_empty(capsys):
    fit(small(), X, epochs=3)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("shown", "expected"), [(True, True), (False, False)])
def test_the_bar_is_shown_as_asked(shown, expected, monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    fit(small(), X, epochs=3, batch_size=16, validation=2, progress=shown)
    assert ("9/9" in capsys.readouterr().err) == expected


def test_a_terminal_has_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    fit(small(), X, epochs=3, batch_size=16, validation=2)
    assert "9/9" in capsys.readouterr().err


def test_compiling_is_said(capsys):
    with progress.Progress(0, 10, shown=True) as bar:
        bar.compiling()
    assert "compiling" in capsys.readouterr().err
    with progress.Progress(0, 10, shown=None) as lines:
        lines.compiling()
    assert "compiling" in capsys.readouterr().err
    with progress.Progress(0, 10, shown=False) as nothing:
        nothing.compiling()
    assert capsys.readouterr().err == ""
