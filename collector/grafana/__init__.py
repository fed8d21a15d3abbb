"""Grafana: dashboards generated from a catalogue, and their provisioning."""
