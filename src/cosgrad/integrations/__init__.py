"""Losses for libraries that train: a module for each, which imports its library."""
