"""Encoding: what has ended, as the bytes of OTLP, made once."""
