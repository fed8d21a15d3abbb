"""Cleaning: the one place where secrets and content are taken out of what leaves the process."""
