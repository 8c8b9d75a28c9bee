"""Codes, reconstructions, samples, and how much of the latent space is used."""
