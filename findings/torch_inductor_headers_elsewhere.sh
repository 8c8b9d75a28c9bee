#!/usr/bin/env bash
# torch 2.13.0: 141 MB of the cache of its compiler are not in TORCHINDUCTOR_CACHE_DIR.
# Guess: with the variable set, what torch.compile writes is in that folder, so that it can be
#        measured, kept for the next job, and removed.
# Seen:  with cpp_wrapper the C++ headers are precompiled before the first graph, to a file of more
#        than 100 MB in the folder for temporary files, torchinductor_USER/precompiled_headers. It
#        is made for each set of compiler flags and include paths, so once more for each
#        environment, and nothing removes it: 4.5 GB after two days of work with several
#        environments.
# Why:   a job that keeps its cache pays for the headers again on each machine (4 s; they save 0.6 s
#        a graph), and a small disk fills. pyro_vae compiles without them.
# Needs: g++ and Python's headers.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/compile.py" <<'PY'
import torch

torch.set_num_threads(1)
double = torch.compile(lambda x: 2 * x.exp(), options={"cpp_wrapper": True})
x = torch.linspace(-1, 1, 64)
with torch.no_grad():
    assert torch.allclose(double(x), 2 * x.exp())
PY
mkdir "$work/cache" "$work/temporary"
cd "$work"
TMPDIR=$work/temporary TORCHINDUCTOR_CACHE_DIR=$work/cache env/bin/python -I -W ignore compile.py
inside=$(du -sm cache | cut -f1)
outside=$(du -sm temporary | cut -f1)
echo "MB in the cache: $inside, among the temporary files: $outside"
[[ $inside -le 20 ]] || { echo "the headers are in the cache now"; exit 1; }
[[ $outside -ge 100 ]] || { echo "they are no longer elsewhere"; exit 1; }
