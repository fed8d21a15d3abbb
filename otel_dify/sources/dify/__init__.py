"""Sources that watch Dify itself."""
