#!/usr/bin/env bash
# tqdm 4.70.1 on Python 3.11, Linux: a bar that shows nothing fixes multiprocessing's start method.
# Guess: tqdm(..., disable=True) does nothing but hand the items on.
# Seen:  the first bar, also a disabled one, makes a multiprocessing.RLock, which chooses the
#        default start method for the process: set_start_method("spawn") raises afterwards.
#        It also starts a thread (tqdm_monitor), so that Python 3.12 warns of each later fork.
# Why:   a library that hides its bars still decides how its users' processes are started; whether a
#        program works depends on whether a loop ran before its set_start_method.
# Way out: a lock of threads, tqdm.set_lock(threading.RLock()), before the first bar; in a subclass
#        with _lock and monitor_interval = 0 nothing of tqdm itself changes.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check tqdm==4.70.1
cd "$work"
env/bin/python -I - <<'PY'
import multiprocessing
import threading

from tqdm import tqdm

before = multiprocessing.get_start_method(allow_none=True)
items = list(tqdm([1, 2, 3], disable=True))
after = multiprocessing.get_start_method(allow_none=True)
threads = [thread.name for thread in threading.enumerate()]
print(f"start method before {before}, after {after}; threads {threads}")
assert items == [1, 2, 3]
assert before is None and after is not None, "a hidden bar chooses no start method now"
assert "tqdm_monitor" in threads, "a hidden bar starts no thread now"
other = "spawn" if after != "spawn" else "fork"
try:
    multiprocessing.set_start_method(other)
except RuntimeError as error:
    print(f"set_start_method({other!r}): RuntimeError: {error}")
else:
    raise SystemExit("the start method can be set after a hidden bar now")
PY
env/bin/python -I - <<'PY'
import multiprocessing
import threading

from tqdm import tqdm

tqdm.set_lock(threading.RLock())
list(tqdm([1, 2, 3], disable=True))
assert multiprocessing.get_start_method(allow_none=True) is None
multiprocessing.set_start_method("spawn")
print("with a lock of threads set before: the start method may be set later")
PY
