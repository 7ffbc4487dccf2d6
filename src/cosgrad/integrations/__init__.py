"""Losses for training libraries. There is one module for each library, which imports this library."""
