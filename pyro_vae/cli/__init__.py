"""The command `pyro-vae`; each of its subcommands is one file here, named in `program.COMMANDS`."""

from pyro_vae.cli.main import main

__all__ = ["main"]
