"""The command `pyro-vae`: a file here is one subcommand, and `main.COMMANDS` lists them."""
