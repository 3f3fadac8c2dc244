"""Configurations of other trainers turned into recipes: pure functions on dictionaries, and text."""
