"""The labels of rows."""
