#!/usr/bin/env bash
# pandas 3.1.1: read_csv reads a large file in threads where it is given a path, and not a stream.
# Guess: read_csv(path) and read_csv(open(path, "rb")) do the same work, in the same time.
# Seen:  from a path the C engine keeps more than one core busy (processor time above 1.3 times the
#        time of the clock on two cores); from a stream of the same bytes it keeps one busy. The
#        frames are equal.
# Why:   who opens the file first, to sniff its delimiter or to skip lines, halves the speed of the
#        reader without a word. pyro_vae.data.read did.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 pandas==3.1.1
cd "$work" && env/bin/python -I - <<'PY'
import os
import time

import numpy as np
import pandas as pd

assert os.cpu_count() > 1, "needs two cores"
table = pd.DataFrame(np.random.default_rng(0).normal(size=(200_000, 20)))
table.to_csv("x.csv", index=False)


def busy(read):
    """Cores that a call keeps busy, the median of five."""
    ratios = []
    for _ in range(5):
        clock, processor = time.perf_counter(), time.process_time()
        read()
        processor = time.process_time() - processor
        ratios.append(processor / (time.perf_counter() - clock))
    return float(np.median(ratios))


def from_stream():
    with open("x.csv", "rb") as stream:
        return pd.read_csv(stream)


by_path, by_stream = busy(lambda: pd.read_csv("x.csv")), busy(from_stream)
print(f"cores busy: path {by_path:.2f}, stream {by_stream:.2f}")
pd.testing.assert_frame_equal(pd.read_csv("x.csv"), from_stream())
assert by_path > 1.3, "a path is read by one thread now"
assert by_stream < 1.1, "a stream is read in threads now"
PY
