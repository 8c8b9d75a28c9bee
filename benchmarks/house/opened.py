"""Files that a reader opens who follows every call from `evidence`, and from `pyro-vae fit`.

    python -m benchmarks.house.opened

The calls are those that happen: of `evidence(vae, x)` for a small fitted model, and of the command
for the digits, with one epoch and 20 rows evaluated. The depth of a call is the number of functions
of ours on the stack. The reader reads each function once, in the order of the first calls, down to
some depth; what happens while a file is imported is not read. Then

    files       distinct files with a function that was read
    stops       times that the next function is in another file than the one before, and the first
    back        stops at a file that was open before

A depth of 5 is what the issues of this project compare.
"""

import contextlib
import importlib
import io
import os
import sys
import tempfile
import tomllib
import warnings
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FrameType
from typing import Any

import torch

import pyro_vae as pv
from benchmarks.house.sources import ROOT, sources

DEPTHS = (3, 4, 5, 6, 8, 100)
COMMAND = ["fit", "digits", "--set", "fit.epochs=1", "--set", "evaluate.rows=20"]
Function = tuple[str, str]
"""File and qualified name."""
Calls = dict[Function, int]
"""The functions in the order of their first calls, each with the least depth of its calls."""


class Watch:
    """Notes the calls of functions in some files.

    Arguments:
        files: their real paths.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self.files, self.real = set(files), dict[str, str]()
        self.calls: Calls = {}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "call" or not self.is_ours(frame.f_code):
            return
        if frame.f_code.co_name.startswith("<"):
            return
        names = [code.co_name for code in self.on_the_way(frame)]
        if "<module>" in names:
            return
        depth = sum(not name.startswith("<") for name in names)
        function = self.path(frame.f_code), frame.f_code.co_qualname
        self.calls[function] = min(depth, self.calls.get(function, depth))

    def on_the_way(self, frame: FrameType) -> Iterator[CodeType]:
        """The code of ours that runs, from the innermost."""
        outer: FrameType | None = frame
        while outer is not None:
            if self.is_ours(outer.f_code):
                yield outer.f_code
            outer = outer.f_back

    def is_ours(self, code: CodeType) -> bool:
        return self.path(code) in self.files

    def path(self, code: CodeType) -> str:
        name = code.co_filename
        if name not in self.real:
            self.real[name] = os.path.realpath(name)
        return self.real[name]


def calls_of(run: Callable[[], object]) -> Calls:
    """The functions of ours that a run calls."""
    watch = Watch(os.path.realpath(path) for path in sources().values())
    sys.setprofile(watch)
    try:
        run()
    finally:
        sys.setprofile(None)
    return watch.calls


def stops(calls: Calls, depth: int) -> list[str]:
    """The files at which a reader stops who reads functions down to some depth."""
    read = [file for (file, _), least in calls.items() if least <= depth]
    return [
        file for index, file in enumerate(read) if index == 0 or read[index - 1] != file
    ]


def ask() -> Callable[[], object]:
    """A call of `evidence` for a model and rows."""
    x = torch.randn(20, 64, generator=torch.Generator().manual_seed(0))
    vae = pv.VAE(data_shape=(64,), latent_dim=4, hidden_dims=(16,))
    pv.fit(vae, x, epochs=1, progress=False)
    return lambda: pv.evidence(vae, x)


def command() -> None:
    """`pyro-vae fit`, by the entry point that the project names, in a folder of its own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    module, _, name = project["scripts"]["pyro-vae"].partition(":")
    main = getattr(importlib.import_module(module), name)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        status = main(COMMAND)
    if status:
        raise RuntimeError(f"pyro-vae {' '.join(COMMAND)} ended with status {status}")


def report(title: str, calls: Calls) -> None:
    print(f"{title}\n  {'depth':>6}{'files':>8}{'stops':>8}{'back':>8}")
    for depth in DEPTHS:
        way = stops(calls, depth)
        name = "all" if depth == max(DEPTHS) else depth
        print(
            f"  {name:>6}{len(set(way)):>8}{len(way):>8}{len(way) - len(set(way)):>8}"
        )
    print()


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    report("evidence(vae, x)", calls_of(ask()))
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        found = calls_of(command)
    report(f"pyro-vae {' '.join(COMMAND)}", found)


if __name__ == "__main__":
    main()
