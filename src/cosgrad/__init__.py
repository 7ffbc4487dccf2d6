"""cosgrad."""
