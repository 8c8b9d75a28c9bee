"""Pictures of data, latent space and training."""
