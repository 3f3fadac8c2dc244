"""What a server without a trainer is asked for: one placeholder for each image, and none of them sampled."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from transformers import Qwen2Config

from grpo_plugin.config.environments import EnvironmentsConfig
from grpo_plugin.environments.loading import Environments
from grpo_plugin.errors import EpisodeError
from grpo_plugin.recipe import Recipe, parse
from grpo_plugin.rollout.client.sampling import FORBIDDEN, Sampling
from grpo_plugin.trainer.served_model import ServedModel, episodes_of, generator_of
from tests.seeing import PLACEHOLDERS, make_processor, make_seeing_model
from tests.unit.environments.chat import tokenizer
from tests.unit.trainer.rollouts import one_process

RECIPE = Recipe({"trl": {}}, None, None, None, None, None, None)


def test_a_prompt_with_an_image_is_sent_with_one_placeholder() -> None:
    processor = make_processor()
    config = make_seeing_model("qwen2_5_vl", processor.tokenizer).config
    asked: dict[str, Any] = {}

    def complete(prompts: Any, **options: Any) -> list[list[Any]]:
        asked.update(options, prompts=prompts)
        return [[] for _ in prompts]

    backend = ServedModel(
        SimpleNamespace(complete=complete),  # type: ignore[arg-type]
        verify_version=True,
        image_token=processor.image_token_id,
    )
    picture = Image.new("RGB", (56, 84), "red")  # 2 x 3 states of the vision tower
    row = {"prompt": [{"role": "user", "content": "What is it?"}], "images": [picture]}
    (generated,) = generator_of(RECIPE, backend, processor, config).generate([row], 1)
    assert generated.prompt_ids.count(processor.image_token_id) == 6
    assert asked["prompts"][0].count(processor.image_token_id) == 1 and asked["images"] == [[picture]]
    forbidden = processor.tokenizer.convert_tokens_to_ids(PLACEHOLDERS)
    assert asked["sampling"].logit_bias == dict.fromkeys(forbidden, FORBIDDEN)
    assert asked["sampling"].max_tokens == 256  # TRL's default


def test_an_episode_is_as_long_as_its_server_takes(tmp_path: Path) -> None:
    """The server has 700 + 100 tokens, the model 4096 positions; the backend is a mock that only begins episodes."""
    tools = {"tools": ["environments.calculator.calculate"]}
    values = {
        "base_model": "user/model",
        "plugins": [f"grpo_plugin.{name}Plugin" for name in ("Prompt", "Environment", "Reward", "Rollout")],
        "prompts": {"train": "user/data@train", "max_length": 700},
        "environments": tools,
        "rewards": {"functions": [{"function": "rewards.math.accuracy"}]},
        "trl": {"max_completion_length": 100},
    }
    backend = SimpleNamespace(play=lambda episodes, sampling: [asyncio.run(one.begin()) for one in episodes])
    sampling = Sampling(max_tokens=100, stop_token_ids=[tokenizer().eos_token_id])
    generator: Any = SimpleNamespace(backend=backend, sampling=sampling)
    environments = Environments.load(EnvironmentsConfig.parse("environments", tools), tmp_path)
    config = Qwen2Config(max_position_embeddings=4096)
    sampler = episodes_of(parse(values), environments, generator, tokenizer(), config, one_process())

    def play(question: str) -> Any:
        row = {"prompt": [{"role": "user", "content": question}]}
        [[episode]] = sampler.play([row], 1, sampling, ["row 7 of the set 'sums'"])
        return episode

    short = play("?")
    assert short.budget == 100
    long = play("?" + "!?" * ((790 - len(short.prompt_ids)) // 2))
    assert long.budget == 800 - len(long.prompt_ids) < 100
    with pytest.raises(EpisodeError, match=r"row 7 of the set 'sums' has \d+ tokens .* takes 800"):
        play("?" + "!?" * 500)
