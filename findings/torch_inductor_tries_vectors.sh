#!/usr/bin/env bash
# torch 2.13.0: the first torch.compile on a machine compiles up to ten programs that aren't the
# user's, and the switch against that stops some of them.
# Guess: torch knows the processor's instructions (torch.backends.cpu.get_cpu_capability()), so the
#        C++ compiler is started for the graph only; with TORCHINDUCTOR_VEC_ISA_OK=1 at least.
# Seen:  on a processor with AVX-512 each set of instructions is tried by compiling a program, which
#        is then loaded by a Python of its own that imports torch: 10 programs with AMX (16 s on two
#        busy cores), fewer without. With TORCHINDUCTOR_VEC_ISA_OK=1 those for AVX-512 BF16, VNNI
#        and AMX are still compiled, 6 of the 10. The list that results is what torch said of the processor.
# Why:   a third or more of the time that the first graph takes is not the graph. pyro_vae's first compiled fit
#        took it.
# Needs: a processor with AVX-512, g++ and Python's headers.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/count.py" <<'PY'
import torch
import torch._inductor.cpp_builder as builder
from torch._inductor.cpu_vec_isa import valid_vec_isa_list

started = []
run = builder._run_compile_cmd
builder._run_compile_cmd = lambda *arguments: started.append(arguments) or run(*arguments)
found = " ".join(str(one) for one in valid_vec_isa_list())
assert torch.backends.cpu.get_cpu_capability() == "AVX512", "needs a processor with AVX-512"
assert "avx512" in found, "the C++ compiler doesn't know AVX-512"
print(len(started))
PY
cd "$work"
export TORCHINDUCTOR_CACHE_DIR=$work/one
tried=$(env/bin/python -I -W ignore count.py)
export TORCHINDUCTOR_CACHE_DIR=$work/two TORCHINDUCTOR_VEC_ISA_OK=1
switched_off=$(env/bin/python -I -W ignore count.py)
echo "programs compiled: $tried, with the switch $switched_off"
[[ $tried -ge 3 ]] || { echo "fewer are tried now"; exit 1; }
[[ $switched_off -ge 1 ]] || { echo "the switch stops them all now"; exit 1; }
