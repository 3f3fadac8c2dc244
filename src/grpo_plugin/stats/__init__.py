"""Sequence-length statistics: `python stats.py RECIPE`, `axolotl grpo stats RECIPE`."""
