"""What trackers wrote, read back from their own files: name → step → value."""

import json
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7  # of LevelDB's log format, which Weights & Biases writes

Series = dict[str, dict[int, Any]]


def wandb_offline(folder: Path) -> tuple[Series, dict[str, Any]]:
    """The history of the only offline run below `folder`, by `train/global_step`, and its config."""
    from wandb.proto.wandb_internal_pb2 import Record

    [file] = folder.glob("wandb/offline-run-*/run-*.wandb")
    series: Series = defaultdict(dict)
    config: dict[str, Any] = {}
    for data in _records(file.read_bytes()):
        record = Record.FromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "history":
            row = {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            for name, value in row.items():
                series[name][row["train/global_step"]] = value
        elif kind in ("config", "run"):
            updates = (record.config if kind == "config" else record.run.config).update
            config |= {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in updates}
    return dict(series), config


def tensorboard(folder: Path) -> Series:
    """The scalars of the only run below `folder`."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    [file] = folder.rglob("events.out.tfevents.*")
    events = EventAccumulator(str(file), size_guidance={"scalars": 0})
    events.Reload()
    return {name: {one.step: one.value for one in events.Scalars(name)} for name in events.Tags()["scalars"]}


def _records(data: bytes) -> Iterator[bytes]:
    """The records of a log: chunks of blocks, whole (type 1) or as first, middle and last part (2, 3, 4)."""
    at, parts = HEADER, b""
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:  # the rest of a block that holds no header
            at += BLOCK - at % BLOCK
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + HEADER])
        parts += data[at + HEADER : at + HEADER + size]
        at += HEADER + size
        if kind in (1, 4):
            yield parts
            parts = b""
