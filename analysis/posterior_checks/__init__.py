"""Whether q(z | x) is the posterior: simulation-based calibration and NUTS."""
