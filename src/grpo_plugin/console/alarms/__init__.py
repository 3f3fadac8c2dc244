"""Alarms while training: figures of the steps that look wrong, each with a likely remedy."""
