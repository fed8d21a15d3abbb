"""Signals: what one record becomes: a span, metric points and a log event."""
