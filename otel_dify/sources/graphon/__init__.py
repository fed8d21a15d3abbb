"""Sources that watch the graphon engine, its nodes and its model runtimes."""
