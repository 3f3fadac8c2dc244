"""`python stats.py recipes/gsm8k.yaml`: the lengths of a recipe's data in tokens; the same as `axolotl grpo stats`."""

from grpo_plugin.cli.stats import stats

if __name__ == "__main__":
    stats()
