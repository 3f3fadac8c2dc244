"""`axolotl grpo …`; each sub-command is imported when it is used, so that `--help` stays fast."""

from importlib import import_module

import click

# sub-command -> (module:function, the line that `--help` shows)
COMMANDS = {
    "recipes": ("grpo_plugin.cli.recipes:recipes", "The recipes that come with this package: list them, copy one."),
    "plan": ("grpo_plugin.cli.plan:plan", "What a recipe needs: GPUs, batches, memory, disk, vLLM's command."),
    "cloud": ("grpo_plugin.cli.cloud:cloud", "A recipe on a machine behind ssh, or on FlexAI."),
    "schema": ("grpo_plugin.cli.schema:schema", "The JSON schema of a recipe, for editors."),
    "algorithms": ("grpo_plugin.cli.algorithms:algorithms", "The algorithms by name, and what each combines."),
    "check-rewards": ("grpo_plugin.cli.check_rewards:check_rewards", "Try a recipe's rewards on its data."),
    "score": ("grpo_plugin.cli.score:score", "Score saved completions."),
    "stats": ("grpo_plugin.cli.stats:stats", "Lengths of a recipe's prompts and answers, in tokens."),
    "evaluate": ("grpo_plugin.cli.evaluate:evaluate", "Evaluate a model on a recipe's held-out prompts."),
    "checkpoints": ("grpo_plugin.cli.checkpoints:checkpoints", "The checkpoints of a run: step, figures, size."),
    "export": ("grpo_plugin.cli.export:export", "A checkpoint as one Hugging Face folder."),
    "serve": ("grpo_plugin.cli.serve:serve", "A vLLM server for a recipe or a checkpoint, or its command."),
    "chat": ("grpo_plugin.cli.chat:chat", "Talk to a checkpoint in the terminal."),
    "compare": ("grpo_plugin.cli.compare:compare", "Two models on the same prompts, with rewards."),
    "replay": ("grpo_plugin.cli.replay:replay", "A step's recorded rollouts through another algorithm."),
    "report": ("grpo_plugin.cli.report:report", "One HTML file about a run, or several: curves, completions, alarms."),
    "convert": ("grpo_plugin.cli.convert:convert", "Convert a dataset to rows that PromptPlugin reads."),
    "import-easyr1": ("grpo_plugin.cli.import_easyr1:import_easyr1", "Turn an EasyR1 configuration into a recipe."),
}


class LazyGroup(click.Group):
    """A group whose commands are named in COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        return getattr(import_module(module), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup)
def grpo() -> None:
    """Reinforcement learning with verifiable rewards: tools around a recipe."""
