"""Time and memory of a large table: read from CSV beside pandas, made into a model, and fitted.

Each figure is from a process of its own. Seconds are those of the CPU, so that other work on the
machine counts little. Memory is the growth of the resident set to its peak, from /proc/self/status
(Linux): for a fit above what the process with its table took before.

    python benchmarks/table_memory.py --rows 1000000 --columns 20
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MEGABYTE = 1e6


def resident(field: str) -> float:
    """VmRSS, the memory of this process now, or VmHWM, its peak; in megabytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / MEGABYTE
    raise ValueError(f"expected {field} in /proc/self/status; run this on Linux")


def reset_peak() -> None:
    """VmHWM starts again at VmRSS."""
    Path("/proc/self/clear_refs").write_text("5")


def measured(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """The result of some work, its seconds, and its peak of memory above what there was before."""
    reset_peak()
    before = resident("VmRSS")
    start = time.process_time()
    result = work()
    seconds = time.process_time() - start
    peak = resident("VmHWM") - before
    return result, {"seconds": seconds, "peak_mb": peak}


def with_pandas(path: str) -> dict[str, float]:
    import pandas as pd

    pd.read_csv(small_file())
    return measured(lambda: pd.read_csv(path))[1]


def with_ours(path: str) -> dict[str, float]:
    from pyro_vae.data import read

    read(small_file())
    return measured(lambda: read(path))[1]


def small_file() -> str:
    """A table that is read first, so that imports are not measured."""
    path = Path(tempfile.mkdtemp()) / "small.csv"
    write(path, 100, 2)
    return str(path)


def fitted(path: str) -> dict[str, float]:
    """VAE.from_data and one epoch, on a table that was read before."""
    import pandas as pd

    import pyro_vae

    warm = pd.DataFrame(np.random.default_rng(0).normal(size=(2000, 3)))
    fit_once(
        pyro_vae, warm
    )  # libraries that are loaded by the first fit are not measured
    table = pyro_vae.data.read(path)
    return measured(lambda: fit_once(pyro_vae, table))[1]


def fitted_frame(path: str) -> dict[str, float]:
    """The same on a DataFrame of pandas."""
    import pandas as pd

    import pyro_vae

    warm = pd.DataFrame(np.random.default_rng(0).normal(size=(2000, 3)))
    fit_once(pyro_vae, warm)
    frame = pd.read_csv(path)
    return measured(lambda: fit_once(pyro_vae, frame))[1]


def fit_once(pyro_vae: Any, rows: Any) -> None:
    vae = pyro_vae.VAE.from_data(rows, latent_dim=2, hidden_dims=(32,))
    pyro_vae.fit(vae, rows, epochs=1, batch_size=4096, progress=False, seed=0)


WORK = {
    "pandas.read_csv": with_pandas,
    "pyro_vae.data.read": with_ours,
    "fit a Table": fitted,
    "fit a DataFrame": fitted_frame,
}


def in_process(name: str, path: str) -> dict[str, float]:
    """Some work in a process of its own."""
    command = [sys.executable, __file__, "--work", name, "--path", path]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def write(path: Path, rows: int, columns: int) -> None:
    import pandas as pd

    numbers = np.random.default_rng(0).normal(size=(rows, columns)).round(6)
    names = [f"x{position}" for position in range(columns)]
    pd.DataFrame(numbers, columns=names).to_csv(path, index=False)


def report(rows: int, columns: int, repeats: int, folder: str) -> None:
    path = Path(folder) / f"table_{rows}x{columns}.csv"
    if not path.exists():
        write(path, rows, columns)
    size = rows * columns * 4 / MEGABYTE
    print(
        f"{rows} x {columns}, {size:.0f} MB in float32, median of {repeats} processes"
    )
    print(f"{'':20} {'seconds':>8} {'peak MB':>8} {'times float32':>13}")
    times: dict[str, float] = {}
    for name in WORK:
        runs = [in_process(name, str(path)) for _ in range(repeats)]
        times[name] = statistics.median(run["seconds"] for run in runs)
        peak = statistics.median(run["peak_mb"] for run in runs)
        print(f"{name:20} {times[name]:8.2f} {peak:8.0f} {peak / size:13.2f}")
    ratio = times["pyro_vae.data.read"] / times["pandas.read_csv"]
    print(f"pyro_vae.data.read takes {ratio:.2f} times as long as pandas.read_csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", default=tempfile.gettempdir())
    parser.add_argument("--work", choices=WORK)
    parser.add_argument("--path")
    arguments = parser.parse_args()
    if arguments.work is not None:
        print(json.dumps(WORK[arguments.work](arguments.path)))
        return
    report(arguments.rows, arguments.columns, arguments.repeats, arguments.folder)


if __name__ == "__main__":
    main()
