#!/usr/bin/env bash
# torch 2.13.0: a run that torchrun starts again can't form its process group, in most starts.
# Guess: with --max-restarts the processes are started anew as if for the first time, so that a
#        program with init_process_group() and a checkpoint goes on after one of them was lost.
# Seen:  the key-value store in which they meet is that of torchrun's own process, which goes on. It
#        still has what the processes before have put there, the addresses of gloo among them, and
#        nothing tells the starts apart (rendezvous.py: "no need to add prefix for each attempt"). A
#        process that starts a little earlier than another reads the address of the one before.
#        Where its own address is the higher one, it connects to it: init_process_group("gloo")
#        raises "Connection refused", or waits for its timeout, by default half an hour. With a
#        prefix of the number of starts (PrefixStore(TORCHELASTIC_RESTART_COUNT, store)) it works.
# Why:   torchrun --max-restarts is there for lost processes, and ends the run at the first one.
#        pyro_vae's test of it took ten minutes to fail.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/program.py" <<'PY'
import os
import sys
import time
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

start = os.environ["TORCHELASTIC_RESTART_COUNT"]
shared, rank, size = next(rendezvous("env://"))
if start != "0" and rank == 0:
    print(f"start {start}: the store has the note {shared.get('note').decode()!r}")
store = dist.PrefixStore(start, shared) if sys.argv[1] == "prefix" else shared
if start != "0" and rank == 0:
    shared.set("begun", "")
if start != "0" and rank > 0:  # as those that start a little later
    shared.wait(["begun"])
    time.sleep(3)
try:
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=size, timeout=timedelta(seconds=10)
    )
except RuntimeError as error:
    print(f"start {start}, process {rank}: {str(error).split('] ')[-1]}", flush=True)
    sys.exit(1)
dist.all_reduce(torch.ones(1))
if start == "0":
    shared.set("note", "of start 0")
    dist.barrier()
    sys.exit(rank == 1)  # one of them has failed
dist.all_reduce(torch.ones(1))
print(f"start {start}, process {rank}: done", flush=True)
PY
cd "$work"
export OMP_NUM_THREADS=1 GLOO_SOCKET_IFNAME=lo
run() {
    timeout 120 env/bin/python -W ignore -m torch.distributed.run --standalone --nproc-per-node=4 \
        --max-restarts=1 program.py "$1" 2> errors.txt || true
}
refused=0
for number in 1 2 3; do
    echo "== torchrun's store, run $number of 3"
    run plain | tee plain.txt
    if [[ $(grep -c "done" plain.txt) != 4 ]]; then refused=1; fi
done
echo "== with a prefix"
run prefix | tee prefix.txt
grep -q "the store has the note 'of start 0'" plain.txt || { echo "the store is new now"; exit 1; }
[[ $refused == 1 ]] || { echo "runs that are started again go on now"; exit 1; }
[[ $(grep -c "done" prefix.txt) == 4 ]] || { echo "a prefix doesn't help now"; exit 1; }
