"""Compiled graphs on the disk, which are found again without tracer and compiler.

torch's own cache is asked with a graph, and by the compiler: to trace the one and import the other
takes two seconds. Here a graph goes by the operations of the function, which one eager run tells.
"""

import getpass
import importlib.util
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_vae.atomic_files import written_whole
from pyro_vae.checksums import file_sha256
from pyro_vae.compiler.graph_key import FOLDER, GRAPHS
from pyro_vae.compiler.process_state import POINTER, process_unchanged
from pyro_vae.compiler.same_numbers import same_numbers

Run = Callable[..., tuple[Tensor, ...]]
ENTRY = "inductor_entry_cpp"
"""The function in a library that torch's compiler has made of a graph."""
INPUTS = re.compile(r"steal_from_raw_handles_to_raii_handles\(input_handles, (\d+)\)")


class SavedGraph(NamedTuple):
    """A graph that was compiled before.

    Attributes:
        run: from the tensors to the results.
        used: the inputs of the function that the graph takes, by their indices.
    """

    run: Run
    used: list[int]


def find(key: str | None) -> SavedGraph | None:
    """The graph of this name, where it was saved and the file is as it was written."""
    if key is None:
        return None
    library, note = _files(key)
    try:
        saved = json.loads(note.read_text(encoding="utf-8"))
        if not _is_ours(library) or file_sha256(library) != saved["sha256"]:
            return None
        return SavedGraph(_loaded(library), saved["used"])
    except (OSError, ValueError, LookupError, TypeError, ImportError, AttributeError):
        return None


@contextmanager
def libraries_loaded() -> Iterator[list[Path]]:
    """A list that has, after the block, the graphs that torch's compiler has loaded inside."""
    before = set(sys.modules)
    found: list[Path] = []
    yield found
    names = [name for name in sys.modules if name.endswith("." + ENTRY)]
    paths = [sys.modules[name].__file__ for name in names if name not in before]
    found += [Path(path) for path in paths if path is not None]


def save(
    key: str,
    library: Path,
    used: Sequence[int],
    inputs: Sequence[Tensor],
    run: Run,
) -> Run | None:
    """Keep the library of a graph under a name.

    It is loaded and called as `find` would do it, on copies of the inputs. Where the results, or
    what becomes of the copies, differ from those of `run` in a bit, nothing is kept.

    Arguments:
        key: of `graph_key`.
        library: what torch's compiler has made of the graph.
        used: see `SavedGraph`.
        inputs: of the graph.
        run: the graph, as torch's compiler calls it.

    Returns:
        The graph without what torch's compiler does around it; None where it is not kept.
    """
    target, note = _files(key)
    try:
        if not _takes(library, len(inputs)):
            return None
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with written_whole(target) as draft:
            shutil.copyfile(library, draft)
        target.chmod(0o600)
        direct = _loaded(target)
        if not _agree(direct, run, inputs):
            target.unlink()
            return None
        saved = {"sha256": file_sha256(target), "used": [*used]}
        with written_whole(note) as draft:
            draft.write_text(json.dumps(saved), encoding="utf-8")
    except (OSError, ImportError, RuntimeError, AttributeError):
        return None
    return direct


def folder() -> Path:
    """Where graphs are kept: as the environment says, or in the folder of torch's compiler."""
    if GRAPHS in os.environ:
        return Path(os.environ[GRAPHS])
    if FOLDER in os.environ:
        return Path(os.environ[FOLDER], "pyro_vae")
    with suppress(KeyError, ImportError, OSError):
        user = re.sub(r'[\\/:*?"<>|]', "_", getpass.getuser())
        return Path(tempfile.gettempdir(), f"torchinductor_{user}", "pyro_vae")
    return Path(tempfile.gettempdir(), f"torchinductor_uid_{os.getuid()}", "pyro_vae")


def _files(key: str) -> tuple[Path, Path]:
    """The library and the note about it."""
    return folder() / f"{key}.so", folder() / f"{key}.json"


def _is_ours(library: Path) -> bool:
    """Whether nobody else can have written a file, which will run in this process."""
    if not hasattr(os, "getuid"):
        return True
    status = library.stat()
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


def _loaded(library: Path) -> Run:
    """The function of a library that torch's compiler has made, from tensors to tensors."""
    name = f"{library.stem}.{ENTRY}"
    spec = importlib.util.spec_from_file_location(name, library)
    if spec is None or spec.loader is None:
        raise ImportError("no library", path=str(library))
    guards: Any = torch._C._dynamo.guards
    with process_unchanged():
        os.environ[POINTER] = str(guards._torchinductor_pyobject_tensor_data_ptr)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    entry = getattr(module, ENTRY)
    pack = torch._C._aoti.unsafe_alloc_void_ptrs_from_tensors
    unpack = torch._C._aoti.alloc_tensors_by_stealing_from_void_ptrs

    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return tuple(unpack(entry(pack([*tensors]))))

    return run


def _takes(library: Path, count: int) -> bool:
    """Whether a library is for so many tensors, as its source says; a call doesn't check it."""
    found = INPUTS.findall(library.with_suffix(".cpp").read_text(encoding="utf-8"))
    return found == [str(count)]


def _agree(one: Run, other: Run, inputs: Sequence[Tensor]) -> bool:
    """Whether two calls have the same results, and make the same of their inputs, to the bit."""
    outcomes = []
    for run in (one, other):
        copies = [tensor.detach().clone() for tensor in inputs]
        with torch.no_grad(), torch.random.fork_rng([]):
            outcomes.append([*run(*copies), *copies])
    pairs = list(zip(*outcomes, strict=False))
    is_whole = len(outcomes[0]) == len(outcomes[1])
    return is_whole and all(_same(*pair) for pair in pairs)


def _same(one: Tensor, other: Tensor) -> bool:
    return same_numbers(one, other) and one.stride() == other.stride()
