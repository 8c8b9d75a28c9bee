"""The name of a compiled graph: what it computes, and what it was compiled with and for."""

import functools
import hashlib
import os
import platform
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyro_vae.compiler import products
from pyro_vae.compiler.operation_record import recorded_operations

GRAPHS = "PYRO_VAE_GRAPHS"
"""The environment variable that names the folder of compiled graphs, or is "off"."""
FOLDER = "TORCHINDUCTOR_CACHE_DIR"
"""The environment variable that names the folder of torch's compiler."""
SETTINGS = "TORCHINDUCTOR_"
"""What the names of environment variables with settings of the compiler start with."""
TOOLS = ("CXX", "CPATH", "CPLUS_INCLUDE_PATH")
"""Variables that change what the C++ compiler makes."""
CPU_INFO = Path("/proc/cpuinfo")


def graph_key(
    function: Callable[..., Any],
    inputs: Sequence[Tensor],
    options: Mapping[str, Any],
) -> str | None:
    """The name of the compiled graph of a function on this machine.

    There is nothing in it of the environment that Python runs in but versions, so that one
    environment finds what another has compiled.

    Arguments:
        function: is run once, on copies.
        inputs: of the shapes that the graph is for.
        options: of the compiler.

    Returns:
        None where the operations don't say what the function computes, on a GPU, and where graphs
        are not to be kept or torch's compiler has settings of the user.
    """
    is_on_cpu = all(tensor.device.type == "cpu" for tensor in inputs)
    if not is_on_cpu or os.environ.get(GRAPHS) == "off" or _is_set_by_user():
        return None
    places = [tensor.data_ptr() for tensor in inputs if tensor.numel()]
    if len(set(places)) < len(places):  # the compiler would make one input of two
        return None
    copies = [tensor.detach().clone() for tensor in inputs]
    with torch.random.fork_rng([]):
        record = recorded_operations(function, copies)
    if record is None:
        return None
    strides = [tensor.stride() for tensor in inputs]  # copies may have others
    parts = [record, strides, sorted(options.items()), _versions(), _process()]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _is_set_by_user() -> bool:
    """Whether the compiler has settings that aren't torch's own."""
    names = [name for name in os.environ if name.startswith(SETTINGS)]
    if any(name != FOLDER for name in names):
        return True
    config: Any = sys.modules.get("torch._inductor.config")
    if config is None:
        return False
    settings = config._get_dict(skip_default=True).items()
    return any(value != config._config[name].default for name, value in settings)


def _process() -> list[object]:
    """What the compiler's work depends on in this process."""
    return [
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
        products.library(),
        *[os.environ.get(name) for name in TOOLS],
    ]


@functools.cache
def _versions() -> list[str]:
    """Versions of what makes the graph and what runs it: torch, Python, this library, processor."""
    own = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        own.update(path.read_bytes())
    return [
        torch.__version__,
        str(torch.version.git_version),
        str(sysconfig.get_config_var("SOABI")),
        own.hexdigest(),
        torch.backends.cpu.get_cpu_capability(),
        _processor(),
    ]


def _processor() -> str:
    """The first processor's name and instructions: a library is compiled for this one."""
    if not CPU_INFO.exists():
        return f"{platform.machine()} {platform.processor()}"
    first = CPU_INFO.read_text(encoding="utf-8").split("\n\n")[0]
    told = ("model name", "flags", "Features", "CPU part")
    return "\n".join(line for line in first.splitlines() if line.startswith(told))
