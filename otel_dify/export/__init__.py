"""The way out of the process."""
