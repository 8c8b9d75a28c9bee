"""How far the ELBO lies below log p(x), and which part of it is whose."""
