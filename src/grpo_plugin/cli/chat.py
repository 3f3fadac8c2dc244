"""`axolotl grpo chat CHECKPOINT`: talk to a checkpoint in the terminal."""

import sys
from pathlib import Path
from typing import Any

import click

from grpo_plugin.cli.exit_codes import errors_exit_2
from grpo_plugin.cli.serving import Serving, of_target
from grpo_plugin.recipe.length_budget import COMPLETION, longest_completion
from grpo_plugin.rollout.client.chat import Conversation, Refused
from grpo_plugin.rollout.server.process import Server

HELP = "An empty line is skipped, /new begins anew, Ctrl-D or /exit ends."


@click.command()
@click.argument("target", metavar="CHECKPOINT|RECIPE", type=click.Path(exists=True, path_type=Path))
@click.option("--model", help="With RECIPE: talk to this model or folder instead of the recipe's base_model.")
@click.option("--system", help="System message; by default that of the recipe's prompts.")
@click.option("--temperature", type=click.FloatRange(0), default=1.0, show_default=True, help="0 is greedy.")
@click.option("--max-tokens", type=click.IntRange(1), help="Of an answer; by default trl.max_completion_length.")
@errors_exit_2
def chat(target: Path, **options: Any) -> None:
    """Start vLLM with the model in CHECKPOINT, a checkpoint or the folder of a run, and talk to it.

    Prompts are worded by the chat template with the recipe's system message, without its `prompts.template`.
    """
    serving = of_target(target, model=options["model"])
    click.echo(f"starting vLLM; log in {serving.log}", err=True)
    try:
        with serving.running() as server:
            click.echo(f"talking to {serving.model}. {HELP}", err=True)
            talk(_conversation(serving, server, options))
    except KeyboardInterrupt:
        click.echo("", err=True)


def talk(conversation: Conversation) -> None:
    """Read lines from standard input and write the answers to standard output, until the input ends."""
    try:
        while (line := _read()) not in (None, "/exit"):
            if line == "/new":
                conversation.forget()
            elif line:
                _answer(conversation, line)
    finally:
        conversation.close()


def _answer(conversation: Conversation, line: str) -> None:
    """Write the answer; what the server refuses, such as a conversation that has become too long, does not end it."""
    try:
        for piece in conversation.reply(line):
            print(piece, end="", flush=True)
        print()
    except Refused as error:
        click.echo(f"{str(error).rstrip('.')}; /new begins anew.", err=True)


def _read() -> str | None:
    """A line without white space around it; None at the end of the input."""
    if sys.stdin.isatty():
        print("> ", end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    return line.strip() if line else None


def _conversation(serving: Serving, server: Server, options: dict[str, Any]) -> Conversation:
    recipe = serving.recipe
    kwargs = recipe.trl.get("chat_template_kwargs") if recipe else None
    chat = has_chat_template(serving.model)
    longest = options["max_tokens"] or (longest_completion(recipe) if recipe else COMPLETION)
    return Conversation(
        server.endpoint.address,
        server.endpoint.key,
        serving.model,
        chat=chat,
        system=options["system"] or (recipe.prompts.system if recipe and recipe.prompts else None),
        options={
            "temperature": options["temperature"],
            "max_tokens": longest,
            **({"chat_template_kwargs": dict(kwargs)} if chat and kwargs else {}),
        },
    )


def has_chat_template(model: str) -> bool:
    """Whether the tokenizer of a model words chats; a base model's may not."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model).chat_template is not None
