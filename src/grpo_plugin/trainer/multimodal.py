"""Prompts with images, as TRL and the processors of transformers take them."""

from collections.abc import Mapping
from typing import Any

from trl.data_utils import prepare_multimodal_messages


def images_of(row: Mapping[str, Any]) -> list[Any] | None:
    """The images of a row; None if it has none."""
    if row.get("images"):
        return list(row["images"])
    return [row["image"]] if row.get("image") is not None else None


def with_images(prompt: Any, images: list[Any] | None) -> Any:
    """Chat messages with the images in their place; others as they are."""
    return prompt if images is None else prepare_multimodal_messages(prompt, images=images)
