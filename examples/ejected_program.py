"""A fitted model as one file of torch and Pyro, which runs without this library.

    python examples/ejected_program.py [folder] [--epochs 50]

One sees the first lines of the file, and the ELBO of the same rows with the same random numbers by
the library's model and, in a new process, by the program's.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyro
import torch
from pyro.infer import Trace_ELBO

import pyro_vae as pv

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("folder", nargs="?", default="ejected")
parser.add_argument("--epochs", type=int, default=50)
options = parser.parse_args()

x = pv.data.load("digits")
likelihood = {"kind": "binomial", "total_count": 16}
vae = pv.VAE(data_shape=(64,), latent_dim=8, likelihood=likelihood)
pv.fit(vae, x, epochs=options.epochs, seed=0)

folder = Path(options.folder)
pv.save(vae, folder)  # model.safetensors, and a description
program = vae.program()
(folder / "program.py").write_text(program, encoding="utf-8")
np.save(folder / "rows.npy", x[:100])
print(*program.splitlines()[:6], sep="\n")

USE = """
import sys
import numpy as np, pyro, torch
from pyro.infer import Trace_ELBO
from program import VAE
assert "pyro_vae" not in sys.modules
vae = VAE().load("model.safetensors")
pyro.set_rng_seed(0)
rows = torch.as_tensor(np.load("rows.npy"))
elbo = -Trace_ELBO().loss(vae.model, vae.guide, rows) / len(rows)
print(f"program: ELBO {elbo:.4f} nats per row")
"""
pyro.set_rng_seed(0)
elbo = -Trace_ELBO().loss(vae.model, vae.guide, torch.as_tensor(x[:100])) / 100
print(f"library: ELBO {elbo:.4f} nats per row", flush=True)
subprocess.run([sys.executable, "-c", USE], cwd=folder, check=True)
