"""`python -m pyro_vae` is the command `pyro-vae`."""

import sys

from pyro_vae.cli.main import main

sys.exit(main())
