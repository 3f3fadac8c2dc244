"""Reward functions to read, edit and add to: one task per file.

A recipe names them as `rewards.math.accuracy`; a file of your own beside the recipe as `my_rewards.py:my_function`.
"""
