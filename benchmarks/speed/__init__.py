"""Speed compared with other packages and with the machine: `python -m benchmarks.speed --help`."""
