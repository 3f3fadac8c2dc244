"""The quickstart's model, made on the spot: a small Qwen2 trained to add two-digit numbers, not yet well."""

from grpo_plugin.quickstart.fingerprint import is_ready

__all__ = ["is_ready"]
