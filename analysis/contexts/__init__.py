"""What codes tell of contexts, and what rows would be in others."""
