"""What one ended operation becomes: a span, metric points and a log event."""
