"""Notifications: Alertmanager's configuration, made from environment variables."""
