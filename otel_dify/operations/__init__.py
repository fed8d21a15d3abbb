"""The domain: kinds of operations, their attributes, and the life of one operation."""
