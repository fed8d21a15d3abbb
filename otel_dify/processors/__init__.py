"""What happens to attributes and records between the recorders and the export."""
