"""The same turns through TRL's own loop of tools and through an episode: the same tokens, masks and messages.

TRL's loop (`GRPOTrainer._tool_call_loop`) is real; what it asks of its trainer beside that is a mock, which hands out
the turns that the test wrote.
"""

import asyncio
from copy import copy, deepcopy
from types import SimpleNamespace

import pytest
from trl import GRPOTrainer
from trl.chat_template_utils import add_response_schema, parse_response

from grpo_plugin.config.environments import EnvironmentsConfig
from grpo_plugin.environments.limits import Limits
from grpo_plugin.environments.loading import Environments
from grpo_plugin.rollout.client.responses import Completion
from grpo_plugin.scoring import async_loop
from tests.unit.environments import worlds
from tests.unit.environments.chat import TEMPLATES, call, renderer, tokenizer
from tests.unit.environments.test_episode import WORLDS

END = "<|im_end|>"
PROMPT = [{"role": "user", "content": "Count to 5."}]
MULTIPLY = call("multiply", '{"a": 3, "b": 4}')
INCREMENT = call("increment", '{"step": 2}')
SCENES = {
    "a call and an answer": [MULTIPLY + END, "12" + END],
    "a method of the environment": [INCREMENT + END, INCREMENT + END, "4" + END],
    "text before a call": [f"I count.\n{INCREMENT}{END}", "2" + END],
    "two calls in a turn": [f"{MULTIPLY}\n{INCREMENT}{END}", "Done." + END],
    "async calls": [call("divide", '{"a": 1, "b": 4}') + call("divide", '{"a": 1, "b": 2}') + END, "0.25" + END],
    "a tool that raises": [call("multiply", '{"a": {}, "b": 4}') + END, "So." + END],
    "an async tool that raises": [call("divide", '{"a": 1, "b": 0}') + END, "So." + END],
    "no call": ["5" + END],
    "a turn that does not end": ["5 and"],
}


def of_trl(template, scene, limit, rounds, environment):
    """Completion ids, mask, log-probabilities and messages of TRL, and its counts of calls and failures."""
    made = copy(tokenizer(template))
    add_response_schema(made)
    training = (TEMPLATES / "qwen3_training.jinja").read_text() if template == "qwen3" else None
    tools = {"multiply": worlds.multiply, "increment": environment.increment}
    turns = [made(text, add_special_tokens=False)["input_ids"] for text in scene]
    prompt_ids = made.apply_chat_template(PROMPT, add_generation_prompt=True, tokenize=True, chat_template=training)
    prompt_ids = list(prompt_ids["input_ids"])
    given = iter(turns[1:])
    trainer = SimpleNamespace(
        _tokenizer=made,
        processing_class=made,
        chat_template=training,
        chat_template_kwargs={},
        _is_vlm=False,
        use_vllm=False,
        vllm_mode="server",
        model=SimpleNamespace(config=SimpleNamespace(max_position_embeddings=10_000)),
        max_completion_length=limit,
        max_tool_calling_iterations=rounds,
        _sync_tool_dicts=[tools],
        _async_tool_dicts=[{"divide": worlds.divide}],
        async_loop=async_loop._running_loop(),
        _generate_single_turn=lambda ids, *_: (lambda turn: ([turn], [[-0.5] * len(turn)]))(next(given)),
    )
    trainer._get_tool_suffix_ids = lambda messages: GRPOTrainer._get_tool_suffix_ids(trainer, messages)
    first = turns[0][:limit]
    mask, messages, ids, logps, calls, failures, _ = GRPOTrainer._tool_call_loop(
        trainer,
        deepcopy([PROMPT]),
        [prompt_ids],
        [list(first)],
        [[parse_response(made, first, prefix=prompt_ids)]],
        [[-0.5] * len(first)],
        None,
        {},
    )
    return ids[0], [bool(one) for one in mask[0]], logps[0], messages[0], (calls, failures)


def of_ours(folder, template, scene, limit, rounds):
    config = {"factory": f"{WORLDS}.Counter", "tools": [f"{WORLDS}.multiply", f"{WORLDS}.divide"]}
    config |= {"call_format": "transformers", "max_turns": None if rounds is None else rounds + 1}
    environments = Environments.load(EnvironmentsConfig.parse("environments", config), folder)
    rendering = environments.rendering(renderer(template), folder)
    episode = environments.episode({"prompt": PROMPT}, rendering, Limits(limit, model_tokens=10_000))

    async def run():
        await episode.begin()
        for text in scene:
            if episode.done:
                break
            ids = tokenizer(template)(text, add_special_tokens=False)["input_ids"]
            await episode.add_turn(Completion(ids, [-0.5] * len(ids), "stop", 0))

    asyncio.run(run())
    counts = (episode.tool_calls, episode.tool_failures)
    return episode.completion_ids, episode.sampled_mask, episode.logps, episode.messages, counts


@pytest.mark.parametrize("template", ["qwen2_5", "qwen3"])
@pytest.mark.parametrize("scene", SCENES)
def test_an_episode_is_as_in_trl(tmp_path, template, scene):
    turns = SCENES[scene]
    environment = worlds.Counter()
    ours, trls = of_ours(tmp_path, template, turns, 1000, None), of_trl(template, turns, 1000, 10**9, environment)
    assert ours == trls


def test_an_episode_ends_where_trl_s_does(tmp_path):
    """For every limit of tokens up to the whole episode: the same tokens, masks and log-probabilities."""
    turns = SCENES["a method of the environment"]
    whole = len(of_ours(tmp_path, "qwen2_5", turns, 1000, None)[0])
    lengths = set()
    for limit in range(1, whole + 2):
        ours = of_ours(tmp_path, "qwen2_5", turns, limit, None)
        assert ours[:3] == of_trl("qwen2_5", turns, limit, 10**9, worlds.Counter())[:3], limit
        lengths.add(len(ours[0]))
    assert whole in lengths and len(lengths) < whole, "some results did not fit and were left out"


def test_turns_end_where_trl_s_iterations_do(tmp_path):
    turns = SCENES["a method of the environment"]
    ours, trls = of_ours(tmp_path, "qwen2_5", turns, 1000, 1), of_trl("qwen2_5", turns, 1000, 1, worlds.Counter())
    assert ours == trls
