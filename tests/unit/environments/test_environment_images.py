"""Images in observations and in tools' results, with the real processor and template of Qwen3-VL."""

import asyncio
from types import SimpleNamespace

from PIL import Image
from trl import GRPOTrainer

from grpo_plugin.config.environments import EnvironmentsConfig
from grpo_plugin.environments.limits import Limits
from grpo_plugin.environments.loading import Environments
from grpo_plugin.rollout.client.responses import Completion
from tests.unit.environments.chat import call
from tests.unit.environments.seeing_chat import processor, seeing_renderer

SCREEN = """
from PIL import Image


class Screen:
    def reset(self):
        return [{"type": "image", "image": Image.new("RGB", (56, 28), "red")}, {"type": "text", "text": " What now?"}]

    def click(self, x: int) -> list:
        '''
        Click somewhere.

        Args:
            x: Where.
        '''
        return [{"type": "text", "text": f"at {x}:"}, {"type": "image", "image": Image.new("RGB", (56, 56), "blue")}]
"""


def trl_suffix(messages):
    trainer = SimpleNamespace(
        processing_class=processor(),
        _tokenizer=processor().tokenizer,
        _is_vlm=True,
        chat_template=None,
        chat_template_kwargs={},
    )
    return GRPOTrainer._get_tool_suffix_ids(trainer, messages)


def test_images_stand_where_the_template_puts_them(tmp_path):
    (tmp_path / "screen.py").write_text(SCREEN)
    environments = Environments.load(
        EnvironmentsConfig.parse("environments", {"factory": "screen.py:Screen"}), tmp_path
    )
    row = {"prompt": [{"role": "user", "content": "Press it."}], "images": [Image.new("RGB", (28, 28), "green")]}
    episode = environments.episode(row, environments.rendering(seeing_renderer(), tmp_path), Limits(1000))
    tokens = processor().tokenizer

    async def run():
        await episode.begin()
        ids = tokens(call("click", '{"x": 4}') + tokens.eos_token, add_special_tokens=False)["input_ids"]
        await episode.add_turn(Completion(ids, [-1.0] * len(ids), "stop", 1))

    asyncio.run(run())
    image = tokens.convert_tokens_to_ids("<|image_pad|>")
    # 28 pixels square are one token.
    assert episode.prompt_ids.count(image) == 1 + 2 and episode.completion_ids.count(image) == 4
    assert [each.size for each in episode.images] == [(28, 28), (56, 28), (56, 56)]
    kinds = [block["type"] for block in episode.prompt[0]["content"]]
    assert kinds == ["image", "text", "image", "text"], "the row's own image first, then what reset() returned"
    result = trl_suffix([episode.messages[1]])
    assert episode.completion_ids[-len(result) :] == result
    assert not any(episode.sampled_mask[-len(result) :])
    environments.close()
