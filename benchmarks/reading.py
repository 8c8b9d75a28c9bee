"""Time and memory of reading a text table, beside `pandas.read_csv`, each in a process of its own.

python -m benchmarks.reading --rows 1000000 --columns 20 --rounds 5
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

READ = """
import resource, sys, time
from pathlib import Path
import pandas, pyarrow
from pyro_vae.data.table_files import read_frame

path = Path(sys.argv[1])
read = {"pandas": pandas.read_csv, "pyro_vae": read_frame}[sys.argv[2]]
start, cpu = time.perf_counter(), time.process_time()
kept = read(path)
print(time.perf_counter() - start, time.process_time() - cpu)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
NAMES = ("pandas", "pyro_vae")


def write(path: Path, rows: int, columns: int) -> None:
    """A table of normal numbers, with counts, words and truth values in the last columns."""
    rng = np.random.default_rng(0)
    table = {f"x{i}": rng.normal(size=rows) for i in range(columns - 6)}
    table |= {f"n{i}": rng.poisson(20, rows) for i in range(4)}
    table["kind"] = rng.choice(["alpha", "beta", "gamma"], rows)
    table["flag"] = rng.random(rows) < 0.5
    pd.DataFrame(table).to_csv(path, index=False)


def measured(path: Path, name: str) -> list[float]:
    """Wall seconds, CPU seconds and the largest memory in MB of a fresh process."""
    command = [sys.executable, "-c", READ, str(path), name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def main(arguments: list[str] | None = None) -> None:
    """Print the least time and memory of some rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write(path, options.rows, options.columns)
        found: dict[str, list[list[float]]] = {name: [] for name in NAMES}
        for _ in range(options.rounds):
            for name in NAMES:
                found[name].append(measured(path, name))
    best = {name: np.min(runs, axis=0) for name, runs in found.items()}
    print(f"{'':10} {'wall s':>8} {'CPU s':>8} {'MB':>8}")
    for name, (wall, cpu, memory) in best.items():
        print(f"{name:10} {wall:8.2f} {cpu:8.2f} {memory:8.0f}")
    ratios = best["pyro_vae"] / best["pandas"]
    print(f"{'ratio':10}", *(f"{ratio:8.2f}" for ratio in ratios))


if __name__ == "__main__":
    main()
