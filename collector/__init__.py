"""The Collector and the backends: configuration, distribution, and how to run them natively."""
