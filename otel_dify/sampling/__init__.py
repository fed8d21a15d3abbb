"""Consistent probability sampling: its arithmetic and its rules, apart from what is sampled."""
