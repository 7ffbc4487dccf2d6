"""Self-contained report pages in HTML and SVG, for `cosgrad bench` and `cosgrad verify`."""
