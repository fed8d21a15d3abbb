"""Examples: real Dify apps, and a small host that runs them on the real engine."""
