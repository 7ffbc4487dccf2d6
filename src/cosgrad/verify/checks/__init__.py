"""The checks, with one module per topic."""
