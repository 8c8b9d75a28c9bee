"""log p(x) by importance sampling: proposals, weights, their reliability."""
