"""`python -m pyro_vae` is the command `pyro-vae`."""

import sys

from pyro_vae.cli import main

sys.exit(main())
