"""How images reach a model with a vision tower, in generation and in training.

The ids of a prompt hold as many image tokens as the vision tower gives states; vLLM takes one per image.
"""

from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image
from torch import Tensor

from grpo_plugin.trainer.padding import Padded, pad
from grpo_plugin.trainer.rollout import Rollout

Images = Sequence[Any] | None

# In the configuration of a model: tokens that only a processor inserts.
_PLACEHOLDERS = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")


def has_tower(model: Any) -> bool:
    """Whether a model of transformers has a vision tower, frozen or not."""
    return getattr(model.config, "vision_config", None) is not None


def placeholders_of(config: Any) -> list[int]:
    """Tokens that a model with a vision tower is never to sample; none for other models."""
    if getattr(config, "vision_config", None) is None:
        return []
    return [getattr(config, name) for name in _PLACEHOLDERS if hasattr(config, name)]


def collapsed(prompt_ids: Sequence[list[int]], image_token: int | None) -> list[list[int]]:
    """Prompts with one placeholder for each image, as vLLM takes them; as they are where no token stands for one."""
    return [
        [token for before, token in zip([None, *ids], ids, strict=False) if token != image_token or token != before]
        for ids in prompt_ids
    ]


class Vision:
    """The images of one run.

    Args:
        model: with a vision tower, wrapped or not.
        processor: the model's own; None where the data has no images.
        images_of: the images of a row of the data, by the row's number.
        distributed: run the vision tower in every pass, on a dummy image where there is none, so that every rank joins
            the collective.
    """

    def __init__(self, model: Any, processor: Any, images_of: Callable[[int], Images], *, distributed: bool) -> None:
        self.processor = processor
        self.placeholders = placeholders_of(model.config)
        self._images_of, self._distributed = images_of, distributed

    def vllm_prompt_ids(self, prompt_ids: Sequence[list[int]]) -> list[list[int]]:
        """Prompts with one placeholder for each image, as vLLM takes them."""
        return collapsed(prompt_ids, None if self.processor is None else self.processor.image_token_id)

    def pixels(self, prompt_ids: Sequence[list[int]], images: Sequence[Images]) -> dict[str, Any]:
        """The image inputs of a model for expanded prompts; empty where none of them has an image.

        Returns:
            `pixel_values` (patches, D) and `image_grid_thw` (images, 3) of all images in a row, and
            `mm_token_type_ids`, a list for each prompt: 1 on image tokens.
        """
        shown = [image for of_prompt in images for image in of_prompt or ()]
        if self.processor is None or not shown:
            return {}
        found = self.processor.image_processor(images=shown, return_tensors="pt")
        kinds = [[int(self._is_image(token)) for token in ids] for ids in prompt_ids]
        return {**found, "mm_token_type_ids": kinds}

    def padded(self, rollouts: Sequence[Rollout], mask: Tensor) -> Padded:
        """Rollouts with the images of their prompts; `mask` (B, T) says which log-probabilities are needed."""
        prompts = [rollout.prompt_ids for rollout in rollouts]
        rows = {rollout.row for rollout in rollouts} if self.processor else set()
        images_of = {row: self._images_of(row) for row in rows}
        images = [images_of.get(r.row) if any(map(self._is_image, r.prompt_ids)) else None for r in rollouts]
        dummies = self._dummy_prompts() if self._distributed and not any(images) else []
        blanks: list[Images] = [[Image.new("RGB", (28, 28))] for _ in dummies]
        pixels = self.pixels([*prompts, *dummies], [*images, *blanks])
        return pad(rollouts, mask, pixels, dummies=dummies)

    def _dummy_prompts(self) -> list[list[int]]:
        """One prompt that is a small image and nothing else; none without a processor."""
        if self.processor is None:
            return []
        images = self.processor.image_processor
        patches = images.get_number_of_image_patches(28, 28, {})
        return [[self.processor.image_token_id] * (patches // images.merge_size**2)]

    def _is_image(self, token: int) -> bool:
        return self.processor is not None and token == self.processor.image_token_id
