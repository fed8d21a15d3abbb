"""Adapters: each watches one thing in Dify and translates it into operations."""
