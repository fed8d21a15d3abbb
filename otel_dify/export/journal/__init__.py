"""The journal: what has ended is in a file before the call that ended it returns."""
