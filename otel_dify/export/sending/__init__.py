"""Sending: ready requests of OTLP to one destination, and what came of each."""
