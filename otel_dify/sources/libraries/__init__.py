"""Sources that watch the libraries that Dify runs on."""
