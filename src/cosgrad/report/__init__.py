"""Pages that need nothing else: HTML and SVG, for `cosgrad bench` and `cosgrad verify`."""
