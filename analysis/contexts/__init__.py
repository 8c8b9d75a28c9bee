"""What codes tell of contexts, what rows would be in others, and what levels have for effects."""
