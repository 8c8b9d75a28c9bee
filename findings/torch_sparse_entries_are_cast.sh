#!/usr/bin/env bash
# torch 2.13.0: a cast of a sparse tensor casts its entries before those of one position are summed.
# Guess: x.int() and x.bool() of a sparse tensor are those of x.to_dense(). The documentation says
#        that most operations work identically on coalesced and uncoalesced tensors.
# Seen:  entries 0.5 and 0.5 at one position are 1.0 in to_dense() and 0 in x.int(); four times 0.25
#        are 0 in x.long(); 2.0 and -2.0 are 0.0, and True in x.bool(). After coalesce() all are
#        right. Functions of the entries (sqrt, floor, abs, sign) coalesce by themselves.
# Why:   events with fractional weights are put in a sparse tensor without coalesce, as the sum is
#        implied; as counts or masks they are wrong without a warning.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 torch==2.13.0
cd "$work" && env/bin/python -I - <<'PY'
import torch


def sparse(*entries):
    places = torch.zeros(1, len(entries), dtype=torch.int64)
    return torch.sparse_coo_tensor(places, torch.tensor(entries), (1,), check_invariants=True)


cases = {  # entries of one position, the cast, what it gives
    "int": (sparse(0.5, 0.5), torch.int32, 0),
    "long": (sparse(*[0.25] * 4), torch.int64, 0),
    "bool": (sparse(2.0, -2.0), torch.bool, True),
}
for name, (x, dtype, seen) in cases.items():
    dense = x.to_dense().to(dtype).item()
    cast = x.to(dtype).to_dense().item()
    coalesced = x.coalesce().to(dtype).to_dense().item()
    print(f"{name:5} dense first {dense}, sparse {cast}, coalesced first {coalesced}")
    assert cast == seen, f"{name} is cast differently"
    assert dense == coalesced != seen
x = sparse(0.5, 0.5)
for function in (torch.sqrt, torch.floor, torch.abs, torch.sign):
    assert function(x).to_dense().item() == 1.0, f"{function.__name__} differs too"
PY
