"""All state of a process that a library could change: a snapshot, by name.

python -m tests.process_state fit evidence impute report      what each of these has changed
"""

import faulthandler
import gc
import json
import locale
import logging
import multiprocessing
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from decimal import getcontext
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyro
import sklearn
import torch
import xarray as xr
from torch.distributions import Distribution

import pyro_vae as pv
from pyro_vae.cli.main import main as command


def digest(value: Any) -> str:
    """A value in few characters."""
    text = repr(value)
    return text if len(text) < 300 else f"{len(text)} characters, hash {hash(text)}"


def torch_state() -> dict[str, Callable[[], Any]]:
    """The switches, generators and defaults of torch."""
    backends: Any = torch.backends
    return {
        "torch's generator": lambda: torch.get_rng_state().tolist(),
        "torch's default dtype": torch.get_default_dtype,
        "torch's default device": torch.get_default_device,
        "torch's gradients": torch.is_grad_enabled,
        "torch's inference mode": torch.is_inference_mode_enabled,
        "torch's anomaly detection": torch.is_anomaly_enabled,
        "torch's threads": torch.get_num_threads,
        "torch's interop threads": torch.get_num_interop_threads,
        "torch's determinism": torch.are_deterministic_algorithms_enabled,
        "torch's determinism, warning": (
            torch.is_deterministic_algorithms_warn_only_enabled
        ),
        "torch's warnings": torch.is_warn_always_enabled,
        "torch's autocast on the CPU": lambda: torch.is_autocast_enabled("cpu"),
        "torch's autocast on a GPU": lambda: torch.is_autocast_enabled("cuda"),
        "torch's dtype of autocast": lambda: torch.get_autocast_dtype("cpu"),
        "torch's cache of autocast": torch.is_autocast_cache_enabled,
        "torch's denormal numbers": lambda: float(torch.tensor(1e-40) + 0),
        "torch's print options": lambda: vars(torch._tensor_str.PRINT_OPTS),
        "torch's sharing strategy": torch.multiprocessing.get_sharing_strategy,
        "torch's old switch of products": torch.get_float32_matmul_precision,
        "torch's precision": lambda: backends.fp32_precision,
        "torch's precision of CUDA": lambda: backends.cuda.matmul.fp32_precision,
        "torch's precision of oneDNN": lambda: backends.mkldnn.matmul.fp32_precision,
        "torch's precision of cuDNN": lambda: backends.cudnn.conv.fp32_precision,
        "torch's TF32": lambda: backends.cudnn.allow_tf32,
        "torch's oneDNN": lambda: backends.mkldnn.enabled,
        "torch's oneDNN, determinism": lambda: backends.mkldnn.deterministic,
        "torch's cuDNN": lambda: backends.cudnn.enabled,
        "torch's cuDNN, benchmark": lambda: backends.cudnn.benchmark,
        "torch's cuDNN, determinism": lambda: backends.cudnn.deterministic,
        "torch's attention": lambda: backends.cuda.flash_sdp_enabled(),
        "torch's validation": lambda: Distribution._validate_args,
        "torch's global hooks": lambda: [
            len(hooks)
            for name, hooks in vars(torch.nn.modules.module).items()
            if name.startswith("_global") and hasattr(hooks, "__len__")
        ],
        "torch's compiler": lambda: torch._dynamo.config.save_config().hex(),
        "torch's inductor": lambda: torch._inductor.config.save_config().hex(),
    }


def pyro_state() -> dict[str, Callable[[], Any]]:
    """The settings, parameters and handlers of Pyro."""
    return {
        "Pyro's settings": pyro.settings.get,
        "Pyro's parameters": lambda: list(pyro.get_param_store().keys()),
        "Pyro's handlers": lambda: list(pyro.poutine.runtime._PYRO_STACK),
        "Pyro's validation": lambda: pyro.poutine.util.is_validation_enabled(),
    }


def python_state() -> dict[str, Callable[[], Any]]:
    """What belongs to Python, the system, and other libraries."""
    signals = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    return {
        "random's generator": random.getstate,
        "NumPy's generator": lambda: str(np.random.get_state()),  # noqa: NPY002
        "NumPy's errors": np.geterr,
        "NumPy's print options": np.get_printoptions,
        "pandas' options": lambda: dict(pd.options.display.__dict__["d"]),
        "xarray's options": lambda: dict(xr.get_options()),
        "scikit-learn's options": sklearn.get_config,
        "matplotlib's options": lambda: dict(mpl.rcParams),
        "matplotlib's backend": mpl.get_backend,
        "matplotlib's figures": plt.get_fignums,
        "filters of warnings": lambda: [
            tuple(map(str, one)) for one in warnings.filters
        ],
        "the showing of warnings": lambda: warnings.showwarning,
        "logging's handlers": lambda: logging.getLogger().handlers,
        "logging's level": lambda: logging.getLogger().level,
        "the start method": lambda: multiprocessing.get_start_method(allow_none=True),
        "handlers of signals": lambda: [signal.getsignal(one) for one in signals],
        "blocked signals": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "the environment": lambda: dict(os.environ),
        "the folder": os.getcwd,
        "the umask": umask,
        "the locale": lambda: locale.setlocale(locale.LC_ALL),
        "the path of modules": lambda: list(sys.path),
        "hooks of modules": lambda: list(sys.meta_path),
        "the hook of errors": lambda: sys.excepthook,
        "the hook of shown values": lambda: sys.displayhook,
        "the streams": lambda: [sys.stdin, sys.stdout, sys.stderr],
        "the limit of recursion": sys.getrecursionlimit,
        "the switch of threads": sys.getswitchinterval,
        "trace and profile": lambda: [sys.gettrace(), sys.getprofile()],
        "garbage collection": lambda: [gc.isenabled(), gc.get_threshold()],
        "the handler of crashes": faulthandler.is_enabled,
        "decimal's context": lambda: repr(getcontext()),
        "the patience of sockets": socket.getdefaulttimeout,
        "threads": lambda: sorted(one.name for one in threading.enumerate()),
        "the temporary folder": tempfile.gettempdir,
    }


def umask() -> int:
    """The umask, which can only be read by setting it."""
    found = os.umask(0o77)
    os.umask(found)
    return found


def snapshot() -> dict[str, str]:
    """All of it, as text."""
    items = torch_state() | pyro_state() | python_state()
    return {name: digest(read()) for name, read in items.items()}


ROWS = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
RUN = "run"


def model(**fields: Any) -> pv.VAE:
    """A small model."""
    return pv.VAE(data_shape=(4,), latent_dim=2, hidden_dims=(8,), **fields)


def fit(**options: Any) -> None:
    pv.fit(model(), ROWS, epochs=2, progress=True, **options)


def impute() -> None:
    rows = ROWS.copy()
    rows[::3, 1] = np.nan
    vae = model(missing="at_random")
    pv.fit(vae, rows, epochs=2)
    pv.impute(vae, rows)


def a_command(*arguments: str) -> None:
    if not Path("rows.npy").exists():
        np.save("rows.npy", ROWS)
        small = ("--set", "hidden_dims=[8]", "--set", "evaluate.num_particles=30")
        command(["fit", "rows.npy", "--output", RUN, "--set", "fit.epochs=2", *small])
    assert command(list(arguments)) == 0


ACTIONS: dict[str, Callable[[], object]] = {
    "fit": fit,
    "compiled fit": lambda: fit(compile="step"),
    "rounded fit": lambda: fit(precision="bf16-mixed", matmul_precision="medium"),
    "evidence": lambda: pv.evidence(model(), ROWS, num_particles=30),
    "compiled evidence": lambda: pv.evidence(model(), ROWS, compile="on"),
    "impute": impute,
    "sample": lambda: pv.sample(model(), 5),
    "to_arviz": lambda: pv.to_arviz(model(), ROWS[:5], num_samples=5),
    "evaluate": lambda: a_command("evaluate", RUN),
    "report": lambda: a_command("report", RUN),
}


def main(names: list[str]) -> None:
    """Print, as JSON, what each action has changed, in its own process."""
    os.chdir(tempfile.mkdtemp())
    warnings.simplefilter("ignore")
    changed = {}
    for name in names:
        before = snapshot()
        ACTIONS[name]()
        after = snapshot()
        changed[name] = {
            item: [before[item], after[item]]
            for item in before
            if before[item] != after[item]
        }
    print(json.dumps({"items": len(snapshot()), "changed": changed}))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
