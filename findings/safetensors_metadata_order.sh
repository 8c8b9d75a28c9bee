#!/usr/bin/env bash
# safetensors 0.8.0 with torch 2.13.0: the same tensors with the same metadata make a different file
# each time.
# Guess: the format has no timestamp, so equal input gives equal bytes.
# Seen:  with eight metadata entries 20 saves in one process give 20 different byte strings (all
#        load alike); the entries are written in the order of a hash map with a random seed. With
#        one entry, or none, the bytes are always equal.
# Why:   checksums of checkpoints, caches by content and "same seed, same file" tests need one
#        entry: put JSON in it.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 safetensors==0.8.0
cd "$work" && env/bin/python -I - <<'PY'
import torch
from safetensors.torch import save

tensors = {"weight": torch.zeros(2, 3), "bias": torch.ones(2)}
distinct = {
    entries: len(
        {save(tensors, metadata={f"key{i}": "value" for i in range(entries)}) for _ in range(20)}
    )
    for entries in (1, 8)
}
distinct[0] = len({save(tensors) for _ in range(20)})
print("metadata entries: distinct files of 20 saves", distinct)
assert distinct[0] == distinct[1] == 1
assert distinct[8] > 1, "the order of metadata is fixed now"
PY
