"""Environments and tools to read, edit and add to: one task per file.

A recipe names them as `environments.calculator.calculate`; a file of your own beside the recipe as `my_env.py:MyEnv`.
"""
