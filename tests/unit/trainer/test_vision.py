"""Rollouts with images: the padded pass gives what transformers gives for each rollout alone."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from grpo_plugin.trainer.micro_batches import BatchSize
from grpo_plugin.trainer.padding import pad
from grpo_plugin.trainer.policy import Policy
from grpo_plugin.trainer.rollout import Rollout, completion_mask
from grpo_plugin.trainer.tokenization import with_images
from grpo_plugin.trainer.vision import Vision
from tests.seeing import make_processor, make_seeing_model
from tests.unit.trainer.rollouts import rollout

TEMPERATURE = 0.7
PICTURES: dict[int, list[Any]] = {
    0: [Image.effect_noise((60, 90), 80).convert("RGB"), Image.new("RGB", (30, 30), "red")],
    1: [],
    2: [Image.effect_noise((84, 28), 80).convert("RGB")],
}


@pytest.fixture(scope="module")
def processor() -> Any:
    return make_processor()


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def model(request: pytest.FixtureRequest, processor: Any) -> Any:
    return make_seeing_model(request.param, processor.tokenizer)


def encoded(processor: Any, images: list[Any]) -> Any:
    content = [{"type": "image"} for _ in images] + [{"type": "text", "text": f"{len(images)} pictures"}]
    messages = with_images([{"role": "user", "content": content}], images or None)
    return processor.apply_chat_template(
        [messages], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )


def rollouts_of(processor: Any) -> list[Rollout]:
    made = []
    for row, images in PICTURES.items():
        ids = encoded(processor, images)["input_ids"][0].tolist()
        made.append(rollout(row=row, tokens=3 + row, prompt_ids=ids))
    return made


def vision_of(
    model: Any, processor: Any, pictures: dict[int, list[Any]] = PICTURES, *, distributed: bool = False
) -> Vision:
    return Vision(model, processor, lambda row: pictures[row] or None, distributed=distributed)


def logps(model: Any, processor: Any, rollouts: list[Rollout], **options: Any) -> torch.Tensor:
    vision = vision_of(model, processor, **options)
    accelerator: Any = SimpleNamespace(autocast=nullcontext, unwrap_model=lambda wrapped: wrapped)
    policy = Policy(model, None, accelerator, temperature=TEMPERATURE, batch_size=BatchSize(8), vision=vision)
    return policy.forward(model, rollouts, completion_mask(rollouts)).logps


def alone(model: Any, processor: Any, of: Rollout) -> torch.Tensor:
    """Log-probabilities (T,) by the model's own forward, all logits at once."""
    inputs = dict(encoded(processor, PICTURES[of.row]))
    completion = torch.tensor([of.completion_ids])
    kinds = inputs.pop("mm_token_type_ids")
    inputs["input_ids"] = torch.cat([inputs["input_ids"], completion], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    if PICTURES[of.row]:
        inputs["mm_token_type_ids"] = torch.cat([kinds, torch.zeros_like(completion)], 1)
    logits = model(**inputs).logits[0, -completion.shape[1] - 1 : -1] / TEMPERATURE
    return logits.log_softmax(-1).gather(1, completion.T).squeeze(1)


def test_a_mixed_batch_has_the_log_probabilities_of_its_samples_alone(model, processor):
    rollouts = rollouts_of(processor)
    found = logps(model, processor, rollouts)
    for row, of in enumerate(rollouts):
        expected = alone(model, processor, of)
        assert (found[row, : len(expected)] - expected).abs().max() < 1e-5
        assert not found[row, len(expected) :].any()


def test_the_training_pass_agrees_with_generation(model, processor):
    rollouts = rollouts_of(processor)
    vision = vision_of(model, processor)
    prompts = [of.prompt_ids for of in rollouts]
    asked = pad(
        [rollout(tokens=0, prompt_ids=ids) for ids in prompts],
        torch.zeros(3, 0, dtype=torch.bool),
        vision.pixels(prompts, [PICTURES[of.row] for of in rollouts]),
    )
    generated = model.generate(
        **asked.inputs, do_sample=False, max_new_tokens=4, output_logits=True, return_dict_in_generate=True
    )
    ids = generated.sequences[:, asked.width :]
    theirs = (torch.stack(generated.logits, 1) / TEMPERATURE).log_softmax(-1).gather(2, ids.unsqueeze(2)).squeeze(2)
    ends = [
        rollout(row=of.row, prompt_ids=of.prompt_ids, completion_ids=ids[i].tolist()) for i, of in enumerate(rollouts)
    ]
    assert (logps(model, processor, ends) - theirs).abs().max() < 1e-4


def test_text_alone_goes_without_a_processor(model, processor):
    (text,) = [of for of in rollouts_of(processor) if of.row == 1]
    found = logps(model, None, [text])
    assert (found[0] - alone(model, processor, text)).abs().max() < 1e-5


def test_another_image_gives_other_log_probabilities_and_a_gradient_reaches_the_tower(model, processor):
    rollouts = rollouts_of(processor)
    changed = {**PICTURES, 2: [Image.new("RGB", (84, 28), "blue")]}
    before, after = (logps(model, processor, rollouts, pictures=pictures) for pictures in (PICTURES, changed))
    assert (before[2] - after[2]).abs().max() > 1e-3
    assert torch.equal(before[1], after[1]) and (before[0] - after[0]).abs().max() < 1e-5
    model.zero_grad()
    before.sum().backward()
    assert all(weight.grad.any() for weight in model.base_model.visual.patch_embed.parameters())
    assert model.base_model.language_model.layers[0].mlp.up_proj.weight.grad.any()


def test_the_tower_joins_the_collective_where_a_pass_has_no_image(model, processor):
    (text,) = [of for of in rollouts_of(processor) if of.row == 1]
    found = logps(model, processor, [text], distributed=True)
    assert (found[0] - alone(model, processor, text)).abs().max() < 1e-5
    model.zero_grad()
    found.sum().backward()
    gradients = [weight.grad for weight in model.base_model.visual.parameters()]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)


def test_a_prompt_is_sent_with_one_placeholder_for_each_image(model, processor):
    vision = vision_of(model, processor)
    ids_for_vllm = vision.vllm_prompt_ids([of.prompt_ids for of in rollouts_of(processor)])
    assert [ids.count(processor.image_token_id) for ids in ids_for_vllm] == [2, 0, 1]
    text = processor.tokenizer.decode(ids_for_vllm[0])
    assert text.count("<|vision_start|><|image_pad|><|vision_end|>") == 2
    assert sorted(vision.placeholders) == sorted(
        processor.tokenizer.convert_tokens_to_ids(
            ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
        )
    )
