"""One of several processes in the tests: `python -m tests.distributed.worker FOLDER NAME...`.

Each scenario is a function without arguments; its result in each process is pickled for the test
that started it. A test may also call it itself, and is then the one process to compare with.
"""

import contextlib
import copy
import os
import pickle
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
import torch._inductor
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from pyro_vae.analysis.marginal_likelihood.importance_sampling import evidence
from pyro_vae.analysis.marginal_likelihood.sharded import sharded_evidence
from pyro_vae.analysis.marginal_likelihood.until import Until
from pyro_vae.distributed import (
    collectives,
    connections,
    process_group,
    shared_memory,
)
from pyro_vae.distributed.shared_memory import added_on_machine
from pyro_vae.distributed.watch import ProcessLost
from pyro_vae.experiment import run as experiment
from pyro_vae.objectives import ELBO, IWAE
from pyro_vae.training import Run, fit
from tests.training.small import X, small, weights, without_clock

ROOT = Path(__file__).parents[2]
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


LEFT_RUNNING = {"one_stops", "one_stops_in_the_evidence"}
"""Scenarios that leave torch's group running, which now and then aborts the end of its process.

What it has to say is said by then (torch 2.13: "terminate called without an active exception").
"""


def several(folder: Path, *names: str, processes: int = 2) -> dict[str, list[Any]]:
    """Run the scenarios in several processes; what each of them gave, by scenario.

    As torchrun does, this process holds the store in which the others meet, on a port that no one
    else has.
    """
    store = torch.distributed.TCPStore(
        "127.0.0.1", 0, is_master=True, wait_for_workers=False
    )
    address = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    command = [sys.executable, "-m", "tests.distributed.worker", str(folder), *names]
    started = []
    try:
        for number in map(str, range(processes)):
            env = (
                environment()
                | address
                | {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": str(processes)}
            )
            started.append(
                subprocess.Popen(
                    command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True
                )
            )
        errors = [process.communicate(timeout=200)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    ends = {0}
    if "one_is_killed_after_a_sum" in names:
        ends.add(-signal.SIGKILL)
    if LEFT_RUNNING.intersection(names):
        ends.add(-signal.SIGABRT)
    assert {process.returncode for process in started} <= ends, "\n".join(errors)
    found = [
        pickle.loads((folder / f"{number}.pickle").read_bytes())
        for number in range(processes)
    ]
    return {name: [each[name] for each in found] for name in names}


def environment() -> dict[str, str]:
    """The environment of this process, for others that use this checkout and loopback."""
    loopback = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **loopback}


def torchrun(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`torchrun` with two processes of a program: a file, or `-m` and a module."""
    command = [sys.executable, *TWO, *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=300
    )


# Models without noise, in float64: several processes make the numbers of one, up to the order of
# sums


class Quiet(dist.Normal):
    """A normal distribution whose draws are its mean."""

    def rsample(self, sample_shape=torch.Size()):
        return self.loc.expand(self._extended_shape(sample_shape))


class QuietGuide(nn.Module):
    """q(z | x) = N(μ(x), σ²), of which every draw is μ(x)."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.loc, self.scale = nn.Linear(4, 2), nn.Parameter(torch.tensor([0.5, 0.9]))

    def forward(self, x):
        return Quiet(self.loc(x), self.scale.abs().expand(len(x), 2)).to_event(1)


def outcome(run: Run) -> dict[str, Any]:
    """What two runs are compared by."""
    return {
        "history": without_clock(run.history),
        "best": run.best_epoch,
        "weights": weights(run.vae),
    }


def quiet(guide: Any = "delta", prior: str = "flat", **options: Any) -> dict[str, Any]:
    vae = small(
        prior=prior, guide=guide, likelihood={"kind": "normal", "scale": 0.7}
    ).double()
    return outcome(
        fit(vae, X, **{"epochs": 5, "batch_size": 16, "lr": 0.01, "seed": 3, **options})
    )


def plain():
    """41 rows in batches of 16, 16 and 9, and 9 to validate: neither 9 is even."""
    return quiet(validation=9, epochs=7)


def clipped_and_averaged():
    return quiet(clip_norm=0.5, ema_decay=0.9, validation=9)


def fewer_rows_than_processes():
    """The last batch has one row."""
    return quiet(batch_size=7, validation=None)


def free_bits():
    """A rate that looks across the rows of the batch, some of it below and some above λ."""
    objective = {"kind": "elbo", "free_bits": 2.5, "kl": "analytic"}
    return quiet(
        QuietGuide(),
        "standard_normal",
        objective=objective,
        kl_warmup_epochs=2,
        validation=9,
    )


def spare():
    """A guide with weights that nothing uses: no gradient, and no decay either."""
    guide = QuietGuide()
    guide.spare = nn.Linear(3, 3)
    return quiet(
        guide,
        "standard_normal",
        optimizer="adamw",
        optimizer_options={"weight_decay": 0.1},
    )


def few_labels():
    """So few that some parts of a batch have none: a mean over those of the batch."""
    label = {"classes": 2, "weight": 30.0, "consistency": 0.0}
    context = {"label": label, "prior": False}
    vae = small(prior="flat", guide="delta", context=context).double()
    labels = np.full((len(X), 1), np.nan)
    labels[::8, 0] = [0, 1, 1, 0, 1, 0, 1]
    options = {"epochs": 5, "batch_size": 16, "seed": 3, "validation": 9}
    return outcome(fit(vae, X, context=labels, **options))


class Normed(nn.Module):
    """An encoder with BatchNorm, whose weights don't move its running statistics apart."""

    def __init__(self):
        super().__init__()
        self.norm, self.width = nn.BatchNorm1d(4, momentum=0.3), 4

    def forward(self, x):
        return self.norm(x)


def normed():
    """48 rows in batches of 16, in one order."""
    vae = small(encoder=Normed()).double()
    return outcome(fit(vae, X[:48], epochs=2, batch_size=16, validation=None, seed=3))


# With noise


def noisy(seed=3):
    before = torch.get_rng_state()
    found = outcome(
        fit(
            small(),
            X,
            epochs=80,
            batch_size=16,
            lr=2e-2,
            seed=seed,
            ema_decay=0.9,
            validation=None,
        )
    )
    return {**found, "untouched": torch.equal(before, torch.get_rng_state())}


def strangers():
    """The processes bring different weights, and in one step the averages hardly leave them."""
    return outcome(
        fit(
            small(seed=process_group.rank()),
            X,
            epochs=1,
            batch_size=50,
            ema_decay=0.999,
            validation=None,
        )
    )


def early():
    return outcome(
        fit(small(), X, epochs=200, batch_size=16, lr=0.05, seed=3, patience=5)
    )


def stopped_by_a_callback():
    """The epochs that the callback of each process sees; that of the second would never stop."""
    seen = []

    def look(row):
        seen.append(row["epoch"])
        return process_group.rank() == 0 and row["epoch"] == 3

    run = fit(small(), X, epochs=9, batch_size=16, seed=3, callbacks=[look])
    return {**outcome(run), "seen": seen, "stopped": run.stopped}


def a_callback_fails():
    """An error in a callback of the first process: it leaves, and the second doesn't wait."""

    def broken(row):
        raise LookupError("no")

    with process_group.joined():
        try:
            fit(small(), X, validation=None, callbacks=[broken])
        except (LookupError, RuntimeError) as error:
            return type(error).__name__
    return "nothing"


def parts():
    """Which rows a process sees, and its rates where all rows are alike."""
    seen = []

    def objective(model, guide, x, beta=1.0):
        terms = ELBO(kl="monte_carlo")(model, guide, x, beta)
        if torch.is_grad_enabled():
            seen.append((x[:, 0].tolist(), terms.rate.tolist()))
        return terms

    rows = torch.arange(50.0)[:, None].expand(50, 4).contiguous()
    loader = DataLoader(TensorDataset(rows), batch_size=16, shuffle=True)
    fit(small(), loader, validation=None, objective=objective, epochs=2, seed=3)
    fit(
        small(),
        torch.ones(8, 4),
        validation=None,
        objective=objective,
        epochs=1,
        seed=3,
    )
    return seen


def grey():
    """The order of the rows that a loader shuffles, and the bits of two rows of each step."""
    order, bits = [], []

    class Noted(Dataset):
        def __len__(self):
            return 9

        def __getitem__(self, index):
            order.append(index)
            return torch.full((4,), 0.5)

    def objective(model, guide, x, beta=1.0):
        if torch.is_grad_enabled():
            bits.append(x[:2].tolist())
        return ELBO()(model, guide, x, beta)

    vae, rows = (
        small(likelihood="bernoulli"),
        DataLoader(Noted(), batch_size=5, shuffle=True),
    )
    fit(vae, rows, objective=objective, binarize="dynamic", validation=None, epochs=4)
    return order, bits


KINDS: dict[str, dict[str, Any]] = {
    "vamp": {"prior": {"kind": "vamp", "pseudo_inputs": 5}},
    "flow": {"prior": "flow", "guide": "flow"},
    "semi_amortized": {"guide": "semi_amortized"},
    "hierarchical": {"prior": {"kind": "hierarchical", "top_dim": 1}},
}
OBJECTIVES = {
    "elbo": ELBO(),
    "stl": ELBO(gradient="stl"),
    "iwae": IWAE(num_particles=3),
    "dreg": IWAE(num_particles=3, gradient="dreg"),
}


def every_kind():
    """The weights of two epochs of each kind."""
    found = {}
    for name, fields in KINDS.items():
        found[name] = outcome(fit(small(**fields), X, epochs=2, batch_size=16))
    for name, objective in OBJECTIVES.items():
        found[name] = outcome(
            fit(
                small(),
                X,
                epochs=2,
                batch_size=16,
                objective=objective,
                optimizer="adamw",
            )
        )
    return found


def evidence_of_rows():
    """log p(x) of 13 rows, of 1 row and of retried rows, shared and not."""
    vae = fit(small(), X, epochs=5, batch_size=16).vae
    hard = {"retry": "widened", "until": Until(se=0.01, max_particles=400)}
    asked = [(X[:13], {}), (X[:1], {}), (X[:5], hard)]
    calls = sharded_evidence, evidence
    return [
        [vars(call(vae, x, num_particles=100, seed=2, **how)) for call in calls]
        for x, how in asked
    ]


def compiled():
    """Runs with compiled gradients and with eager ones, the graphs, and the warnings.

    Uneven batches, clipping, averages, BatchNorm, AdamW with a weight that nothing uses, IWAE, and
    free bits, whose loss is of the rows of all processes.
    """
    guide = QuietGuide()
    guide.spare = nn.Linear(3, 3)
    cases = {
        "plain": ({}, {"clip_norm": 0.5, "ema_decay": 0.9}),
        "normed": ({"encoder": Normed()}, {"objective": IWAE(num_particles=3)}),
        "spare": ({"guide": guide}, {"optimizer": "adamw", "kl_warmup_epochs": 2}),
        "grey": ({"likelihood": "bernoulli"}, {"binarize": "dynamic"}),
        "free_bits": ({}, {"objective": {"kind": "elbo", "free_bits": 2.5}}),
    }
    return {name: _both_ways(*case) for name, case in cases.items()}


def _both_ways(fields, options):
    found = []
    rows = np.clip(np.abs(X), 0, 1) if "binarize" in options else X
    for how in ("step", "off"):
        vae = small(**copy.deepcopy(fields))
        with warnings.catch_warnings(record=True) as caught, counted_graphs() as graphs:
            warnings.simplefilter("always")
            run = fit(
                vae, rows, epochs=4, batch_size=16, seed=3, compile=how, **options
            )
        messages = [
            str(one.message)
            for one in caught
            if "independent columns" not in str(one.message)
        ]
        found.append((outcome(run), len(graphs), messages))
    return found


@contextlib.contextmanager
def counted_graphs():
    """A list that gets an entry for each graph that is compiled inside the block."""
    graphs = []
    compile_graph = torch._inductor.compile
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            torch._inductor,
            "compile",
            lambda *a, **k: graphs.append(1) or compile_graph(*a, **k),
        )
        yield graphs


# Sums in shared memory


def sums():
    """Sums in memory beside those of gloo and the ordered ones, and what remains of a group."""
    with process_group.joined():
        found = {"pairs": [], "ordered": [], "in_memory": []}
        for parts in shapes_of_parts():
            size = process_group.world_size()
            every = [numbers_like(parts, rank) for rank in range(size)]
            own = every[process_group.rank()]
            ours = added_on_machine(own)
            found["in_memory"].append(in_memory())
            found["pairs"].append((ours, collectives.added_over_ranks(own)))
            total, *others = (torch.cat([p.flatten() for p in each]) for each in every)
            for each in others:
                total = total + each
            found["ordered"].append((ours, total))
        by_memory = noisy()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shared_memory, "_rows_of_group", lambda size: None)
            found["runs"] = [by_memory, noisy()]
    found["groups_after"] = len(shared_memory._made)
    found["files_after"] = memory_files()
    return found


def shapes_of_parts():
    """Of one number, of some, of more than any before in two dtypes, and of some again."""
    return [
        [torch.empty(1)],
        [torch.empty(3, 5), torch.empty(2).double()],
        [torch.empty(300, 20).t(), torch.empty(7).double()],
        [torch.empty(40)],
    ]


def numbers_like(parts, rank):
    torch.manual_seed(rank)
    return [torch.randn_like(part) * 10**rank for part in parts]


def in_memory():
    """Whether the processes of this group share memory."""
    return shared_memory._made[torch.distributed.group.WORLD] is not None


def memory_files():
    """The files without a name that this process has open or in its memory."""
    opened = [
        os.readlink(each)
        for each in Path("/proc/self/fd").iterdir()
        if each.is_symlink()
    ]
    mapped = Path("/proc/self/maps").read_text().splitlines()
    return [
        line
        for line in (*opened, *mapped)
        if "memfd:pyro_vae" in line or "/dev/shm" in line
    ]


def sums_without_memory():
    """Each in a group of its own, of which one process can't do something; but for the first."""

    def fails(*_):
        raise OSError

    first = os.environ["RANK"] == "0"
    found = {}
    for name, change in {
        "an_older_python": lambda patch: patch.delattr(os, "memfd_create", False),
        "no_file": lambda patch: first and patch.setattr(os, "memfd_create", fails),
        "no_room": lambda patch: first and patch.setattr(os, "posix_fallocate", fails),
        "no_mapping": lambda patch: first or patch.setattr("mmap.mmap", fails),
        "no_name": lambda patch: first and patch.setattr(sys, "platform", "darwin"),
        "elsewhere": lambda patch: (
            first or patch.setattr(connections.socket.socket, "connect", fails)
        ),
    }.items():
        with process_group.joined(), pytest.MonkeyPatch.context() as patch:
            numbers = numbers_like([torch.empty(50)], process_group.rank())
            change(patch)
            ours = added_on_machine(numbers)
            found[name] = in_memory(), ours, collectives.added_over_ranks(numbers)
    return found


def one_is_killed_after_a_sum():
    """SIGKILL of the second process, when both share memory."""
    found = {}
    with process_group.joined():
        added_on_machine([torch.ones(5)])
        found["in_memory"] = in_memory()
        if process_group.rank() == 1:
            Path("1.pickle").write_bytes(
                pickle.dumps({"one_is_killed_after_a_sum": None})
            )
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            added_on_machine([torch.ones(5)])
        except ProcessLost as error:
            found["message"] = str(error)
    return found


# Checkpoints


def half_way():
    """Three of six epochs, kept in a file of which the path is relative."""
    return elastic(3)


def the_rest():
    """The other three, from the file of a process alone."""
    return elastic(6)


def elastic(epochs):
    return quiet(
        validation=9,
        epochs=epochs,
        schedule="constant",
        ema_decay=0.9,
        checkpoint="elastic",
    )


def noisy_rest():
    """With noise, in two processes after one; then again as it is."""
    options = {"epochs": 6, "batch_size": 16, "schedule": "constant", "validation": 9}
    first, again = (fit(small(), X, **options, checkpoint="noisy") for _ in range(2))
    return outcome(first), outcome(again)


def refused_by_the_first():
    """The errors of the first process, which alone reads the checkpoint and claims the folder."""
    if process_group.is_first():
        Path("damaged").write_text("nothing")
        np.save("rows.npy", X)
        Path("taken").mkdir(exist_ok=True)
        Path("taken/metrics.json").touch()
    collectives.gathered("written")
    found = [refusal(lambda: fit(small(), X, epochs=1, checkpoint="damaged"))]
    spec = {"data": "rows.npy", "latent_dim": 1, "fit": {"epochs": 1}}
    found.append(refusal(lambda: experiment.run(spec, "taken")))
    found.append(sorted(os.listdir("taken")))
    return found


# What goes wrong


def one_stops():
    """SIGSTOP of the second process in its first step; the first lets it go on at the end."""

    def objective(model, guide, x, beta=1.0):
        if torch.is_grad_enabled() and process_group.rank() == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
        return ELBO()(model, guide, x, beta)

    return lost(
        lambda: fit(small(), X, objective=objective, validation=None, timeout=3)
    )


def one_stops_in_the_evidence():
    def attempt():
        if process_group.rank() == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
        sharded_evidence(small(), X[:5], num_particles=10, timeout=3)

    return lost(attempt)


def one_is_killed():
    """The second process ends without a word, as by SIGKILL, but for what the test reads."""

    def attempt():
        if process_group.rank() == 1:
            Path("1.pickle").write_bytes(pickle.dumps({"one_is_killed": None}))
            os._exit(0)
        collectives.gathered(1)

    return lost(attempt)


def lost(attempt):
    """The message of the process that misses another, which it lets go on."""
    with process_group.joined():
        others = collectives.gathered(os.getpid())
        try:
            attempt()
        except ProcessLost as error:
            if process_group.rank() == 0:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(others[1], signal.SIGCONT)
            return str(error)
    return "nothing"


def interrupted():
    """Ctrl-C reaches the second process first, in the fifth step of the third epoch."""
    calls = []

    def objective(model, guide, x, beta=1.0):
        calls.append(x)
        if len(calls) == 14 and process_group.rank() == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return ELBO()(model, guide, x, beta)

    handler = signal.getsignal(signal.SIGINT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        run = fit(
            small(), X, objective=objective, validation=None, epochs=9, batch_size=10
        )
    return {
        **outcome(run),
        "interrupted": run.interrupted,
        "handler": signal.getsignal(signal.SIGINT) is handler,
    }


def different_rows():
    return refusal(
        lambda: fit(
            small(),
            X[: 30 + 20 * process_group.rank()],
            validation=None,
            batch_size=5,
            epochs=100,
        )
    )


def a_gpu_by_number():
    return refusal(lambda: process_group.device_of_rank(torch.device("cuda:1")))


def refusal(attempt: Callable[[], Any]) -> str:
    try:
        attempt()
    except ValueError as error:
        return str(error)
    return "nothing"


def one_fails():
    """An error in the third step of the second process: it leaves, and the first doesn't wait."""

    def objective(model, guide, x, beta=1.0):
        if torch.is_grad_enabled() and process_group.rank() == 1:
            raise ValueError("no")
        return ELBO()(model, guide, x, beta)

    with process_group.joined():
        try:
            fit(small(), X, objective=objective, validation=None)
        except (ValueError, RuntimeError) as error:
            return (
                type(error).__name__,
                process_group.first_failure() if process_group.rank() == 1 else None,
            )
    return "nothing"


ALONE = (
    "one_fails",
    "a_callback_fails",
    "one_stops",
    "one_stops_in_the_evidence",
    "one_is_killed",
    "one_is_killed_after_a_sum",
    "sums",
    "sums_without_memory",
)
"""Scenarios that make a group of their own, and leave it by an error."""

if __name__ == "__main__":
    results = {}
    for name in sys.argv[2:]:
        if name in ALONE:
            results[name] = globals()[name]()
            continue
        with process_group.joined():
            results[name] = globals()[name]()
            number = process_group.rank()
    Path(sys.argv[1], f"{os.environ['RANK']}.pickle").write_bytes(pickle.dumps(results))
