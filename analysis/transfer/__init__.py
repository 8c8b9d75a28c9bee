"""What rows would be in another context."""
