"""Comparing two answers that have been read."""
