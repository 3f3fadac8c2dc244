"""Episodes in the chat templates of real models, which TRL ships; Hermes' form is written for the test."""

import asyncio
from pathlib import Path

import pytest

from grpo_plugin.config.environments import EnvironmentsConfig
from grpo_plugin.environments.limits import Limits
from grpo_plugin.environments.loading import Environments
from grpo_plugin.environments.turn_reading import TextReader
from grpo_plugin.errors import RecipeError
from tests.unit.environments.chat import TEMPLATES, call, renderer, tokenizer, turn
from tests.unit.environments.test_episode import WORLDS, trl_suffix

HERMES = Path(__file__).parent / "hermes.jinja"
RENDERED = ["qwen2_5", "qwen3", "qwen3_instruct_2507", "qwen3_vl", "qwen3_5_think", "qwen3_6", "llama3_1", "llama3_2"]
CODER = "<tool_call>\n<function=increment>\n<parameter=step>\n{}\n</parameter>\n</function>\n</tool_call>"
NEMOTRON = ["nemotron_3_nano", "nemotron_3_super", "nemotron_3_ultra"]
NO_TOOLS = ["llama3", "qwen2_5_vl", "gemma", "gemma3", "cohere", "cohere2", "idefics3", "llava_next"]
# Of docs/environments.md: how calls are read, by the chat templates that TRL ships.
TABLE = {
    "hermes": ["qwen2_5", "qwen3", "qwen3_instruct_2507", "qwen3_vl"],
    "qwen3_coder": ["qwen3_5_nothink", "qwen3_5_think", "qwen3_6", *NEMOTRON],
    "llama3_json": ["llama3_1", "llama3_2"],
    "transformers": ["glm4moe", "gptoss"],
    "refused": [*NO_TOOLS, "phi3", "phi3_5", "deepseekv3"],
}
NO_THOUGHT = "<think>\n\n</think>\n\n"
# Of each template: what a turn that increments by {} is written like, and the end of a turn.
CALLS = {
    "llama3_1": ('{{"name": "increment", "parameters": {{"step": {}}}}}', "<|eot_id|>"),
    "llama3_2": ('{{"name": "increment", "parameters": {{"step": {}}}}}', "<|eot_id|>"),
}
CALLS["qwen2_5"] = CALLS["qwen3_instruct_2507"] = (
    '<tool_call>\n{{"name": "increment", "arguments": {{"step": {}}}}}\n</tool_call>',
    "<|im_end|>",
)
CALLS["qwen3"] = ("<think>\nI count.\n</think>\n\n" + CALLS["qwen2_5"][0], "<|im_end|>")
CALLS["hermes"] = CALLS["qwen2_5"]


def environments(tmp_path, **config):
    config = {"factory": f"{WORLDS}.Counter"} | config
    return Environments.load(EnvironmentsConfig.parse("environments", config), tmp_path)


def rendering(tmp_path, template, **config):
    options = config.pop("options", {})
    return environments(tmp_path, **config).rendering(renderer(template, **options), tmp_path)


def played(tmp_path, template, **config):
    """An episode of two calls and an answer."""
    base = "qwen2_5" if template == "hermes" else template
    if template == "hermes":
        config["chat_template"] = str(HERMES)
    made = environments(tmp_path, **config)
    prompt = [{"role": "user", "content": "Count to 5."}]
    chosen = made.rendering(renderer(base), tmp_path)
    episode = made.episode({"prompt": prompt}, chosen, Limits(2000))
    written, end = CALLS[template]

    async def run():
        await episode.begin()
        for text in (written.format(3), written.format(2)):
            await episode.add_turn(turn(text + end, template=base))
        thought = "<think>\nYes.\n</think>\n\n" if template == "qwen3" else ""
        await episode.add_turn(turn(f"{thought}5.{end}", template=base))

    asyncio.run(run())
    return episode, chosen


@pytest.mark.parametrize("template", CALLS)
def test_an_episode_is_what_the_template_renders_of_its_messages(tmp_path, template):
    """Sampled tokens and results in a row are the tokens of the whole chat, rendered at once."""
    episode, chosen = played(tmp_path, template)
    assert episode.done and episode.environment.counter == 5 and not episode.failures
    assert [message["role"] for message in episode.messages] == ["assistant", "tool", "assistant", "tool", "assistant"]
    text = tokenizer("qwen2_5" if template == "hermes" else template).decode(episode.token_ids)
    tools = environments(tmp_path).of({}).schemas
    whole = chosen.renderer.text(episode.prompt + episode.messages, tools=tools)
    assert text == whole.removesuffix("\n")


@pytest.mark.parametrize("template", RENDERED)
def test_results_are_rendered_as_trl_renders_them(tmp_path, template):
    results = [{"role": "tool", "name": "increment", "content": content} for content in ("3", "<b>\n 4")]
    chosen = rendering(tmp_path, template)
    training = (TEMPLATES / "qwen3_training.jinja").read_text() if template == "qwen3" else None
    assert chosen.renderer.chat_template == training
    end, letter = tokenizer(template).eos_token_id, tokenizer(template).convert_tokens_to_ids("x")
    for messages in (results[:1], results):
        assert chosen.renderer.results(messages, end) == trl_suffix(template, messages, training)
        assert chosen.renderer.results(messages, letter) == [end, *chosen.renderer.results(messages, end)]


@pytest.mark.parametrize(("call_format", "templates"), TABLE.items())
def test_the_table_of_docs_environments(tmp_path, call_format, templates):
    """Every template that TRL ships for chatting: how calls are read in it, and whether it is used as it is."""
    for template in templates:
        if call_format == "refused":
            with pytest.raises(RecipeError, match=r"environments\.(chat_template|call_format): "):
                rendering(tmp_path, template)
            continue
        chosen = rendering(tmp_path, template)
        assert getattr(chosen.reader, "call_format", "transformers") == call_format, template
        assert (chosen.renderer.chat_template is None) == (template != "qwen3")


def test_the_table_is_of_all_templates():
    shipped = {path.stem for path in TEMPLATES.glob("*.jinja") if not path.stem.endswith("_training")}
    assert shipped == {template for templates in TABLE.values() for template in templates}


def test_another_format_is_used_where_the_recipe_says_so(tmp_path):
    reader = rendering(tmp_path, "llama3_1", call_format="pythonic").reader
    assert isinstance(reader, TextReader) and reader.call_format == "pythonic"


def test_thinking_that_is_turned_off_stays_so_after_a_result(tmp_path):
    chosen = rendering(tmp_path, "qwen3", options={"template_kwargs": {"enable_thinking": False}})
    results = chosen.renderer.results([{"role": "tool", "name": "f", "content": "3"}], tokenizer("qwen3").eos_token_id)
    assert tokenizer("qwen3").decode(results).endswith(f"<|im_start|>assistant\n{NO_THOUGHT}")


def test_a_template_with_a_date_is_rendered_on_another_day(tmp_path):
    """Llama 3.2's; the clock that its template reads is a mock."""
    days = iter(["31 Dec 2026", "31 Dec 2026", *["01 Jan 2027"] * 9])
    chosen = rendering(tmp_path, "llama3_2", options={"template_kwargs": {"strftime_now": lambda _: next(days)}})
    days = iter(["31 Dec 2026", "31 Dec 2026", *["01 Jan 2027"] * 9])
    result = [{"role": "tool", "name": "f", "content": "3"}]
    end = tokenizer("llama3_2").eos_token_id
    first = chosen.renderer.results(result, end)
    assert chosen.renderer.results(result, end) == first
    assert next(days) == "01 Jan 2027"


def test_a_template_that_changes_earlier_turns_is_replaced_by_trl_s(tmp_path):
    chosen = rendering(tmp_path, "qwen3")
    assert chosen.notes == ("episodes are rendered with TRL's training version of the chat template",)
    assert rendering(tmp_path, "qwen2_5").notes == ()


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("phi3", "renders the turns before a tool's result differently once it is there"),
        ("llama3", "the chat template leaves out a call's name; name a template for tools"),
        ("gemma3", "the chat template cannot render a tool call and its result (Conversation roles must alternate"),
        ("deepseekv3", "no known format reads the call that the chat template writes"),
    ],
)
def test_a_template_that_does_not_serve_is_refused(tmp_path, template, message):
    with pytest.raises(RecipeError) as caught:
        rendering(tmp_path, template)
    assert message in str(caught.value) and str(caught.value).startswith("environments.c")


def test_a_template_of_the_recipe_is_checked_too(tmp_path):
    (tmp_path / "own.jinja").write_text((TEMPLATES / "qwen3.jinja").read_text())
    with pytest.raises(RecipeError, match=r"environments\.chat_template: the chat template renders the turns before"):
        rendering(tmp_path, "qwen2_5", chat_template="own.jinja")
    with pytest.raises(RecipeError, match=r"environments\.chat_template: no file 'gone\.jinja' beside the recipe"):
        rendering(tmp_path, "qwen2_5", chat_template="gone.jinja")


def test_the_tokenizer_s_own_response_template_reads_turns(tmp_path):
    """As of GLM-4-MoE, for whose calls there is no format here, by the response template that TRL knows."""
    written = "<tool_call>increment\n<arg_key>step</arg_key>\n<arg_value>4</arg_value>\n</tool_call>"
    made = environments(tmp_path)
    chosen = made.rendering(renderer("glm4moe"), tmp_path)
    episode = made.episode({"prompt": [{"role": "user", "content": "Go."}]}, chosen, Limits(2000))
    broken = written.replace("<arg_key>step</arg_key>", "<arg_key>by</arg_key>")

    async def run():
        await episode.begin()
        for text in (f"Hm.</think>\n{written}", broken, "Done."):
            await episode.add_turn(turn(text + "<|im_end|>", template="glm4moe"))

    asyncio.run(run())
    assert episode.environment.counter == 4
    assert episode.messages[1] == {"role": "tool", "name": "increment", "content": "4"}
    assert dict(episode.failures) == {"arguments": 1}


def test_what_a_response_template_cannot_read_is_a_malformed_call(tmp_path):
    made = environments(tmp_path, call_format="transformers")
    chosen = made.rendering(renderer("qwen3"), tmp_path)
    episode = made.episode({"prompt": [{"role": "user", "content": "Go."}]}, chosen, Limits(2000))

    async def run():
        await episode.begin()
        for text in (
            "<tool_call>\n{oops\n</tool_call>",
            call("increment", '{"step": 4}'),
            "<think>\nSo.\n</think>\n\n4",
        ):
            await episode.add_turn(turn(text + "<|im_end|>", template="qwen3"))

    asyncio.run(run())
    assert dict(episode.failures) == {"malformed": 1} and episode.environment.counter == 4
    assert "Malformed tool call: the call cannot be read (json parser" in episode.messages[1]["content"]
    assert episode.messages[-1] == {"role": "assistant", "content": "4", "reasoning_content": "So."}
