"""What a server without a trainer is asked for: one placeholder for each image, and none of them sampled."""

from types import SimpleNamespace
from typing import Any

from PIL import Image

from grpo_plugin.recipe import Recipe
from grpo_plugin.rollout.client.sampling import FORBIDDEN
from grpo_plugin.trainer.served_model import ServedModel, generator_of
from tests.seeing import PLACEHOLDERS, make_processor, make_seeing_model

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
