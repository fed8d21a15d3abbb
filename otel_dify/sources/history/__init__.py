"""History: what Dify's own database has of runs, nodes and messages, told as operations."""
