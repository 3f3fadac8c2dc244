"""The state of the trainer as data alone: reading a checkpoint must not run what somebody put into its file."""

import datetime
import decimal
import io
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from grpo_plugin.errors import TrainingError
from grpo_plugin.trainer.metrics import Sums
from grpo_plugin.trainer.rollout import EpisodeRecord, Rollout
from grpo_plugin.trainer.training_sample import TrainingSample


@dataclass(frozen=True)
class _Png:
    """An image of a streamed row."""

    data: bytes


_RECORDS = (Rollout, EpisodeRecord, TrainingSample, Sums)
_DATES = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone, decimal.Decimal)
_PLAIN = (bool, int, float, str, bytes, Tensor, *_DATES)


def as_data(value: Any) -> Any:
    """`value` with its mappings as dicts, its images as PNG and NumPy's numbers as Python's.

    Raises:
        TrainingError: something in it is no data.
    """
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, Mapping):
        return {key: as_data(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(as_data(entry) for entry in value)
    if isinstance(value, _RECORDS):
        return replace(value, **{field.name: as_data(getattr(value, field.name)) for field in fields(value)})
    if isinstance(value, Image.Image):
        return _png(value)
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TrainingError(
        f"a checkpoint cannot keep a {type(value).__name__}, as a row of prompts.train or a reward's log_extra holds "
        "one; use text, numbers, lists, mappings, dates or images."
    )


def load_data(path: Path) -> Any:
    """What torch.save wrote of `as_data`; a file with any other class in it is an error of `pickle`."""
    with torch.serialization.safe_globals([*_RECORDS, *_DATES, _Png]):
        return _with_images(torch.load(path, weights_only=True))


def _with_images(value: Any) -> Any:
    if isinstance(value, _Png):
        image = Image.open(io.BytesIO(value.data))
        image.load()
        return image
    if isinstance(value, dict):
        return {key: _with_images(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_with_images(entry) for entry in value)
    return value


def _png(image: Image.Image) -> _Png:
    file = io.BytesIO()
    image.save(file, "PNG")
    return _Png(file.getvalue())
