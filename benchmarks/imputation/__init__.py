"""Missing cells, imputed by several methods: `python -m benchmarks.imputation`."""
