"""What trackers wrote, read back from their own files: name → step → value."""

import json
import sqlite3
import struct
import zipfile
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


def trackio(folder: Path, project: str) -> Series:
    """What the only run of a project has below `folder` (TRACKIO_DIR), by `train/global_step`."""
    series: Series = defaultdict(dict)
    with sqlite3.connect(folder / f"{project}.db") as database:
        for (text,) in database.execute("SELECT metrics FROM metrics ORDER BY id"):
            row = json.loads(text)
            for name, value in row.items():
                series[name][row["train/global_step"]] = value
    return dict(series)


def mlflow(database: Path) -> Series:
    """The metrics of the only run in a database of MLflow."""
    series: Series = defaultdict(dict)
    with sqlite3.connect(database) as opened:
        for name, step, value in opened.execute("SELECT key, step, value FROM metrics"):
            series[name][step] = value
    return dict(series)


def comet_offline(folder: Path) -> Series:
    """The metrics of the only offline experiment below `folder`; assets by their file's name."""
    [archive] = folder.glob(".cometml-runs/*.zip")
    series: Series = defaultdict(dict)
    with zipfile.ZipFile(archive) as opened:
        messages = [json.loads(line)["payload"] for line in opened.read("messages.json").splitlines()]
    for message in messages:
        if metric := message.get("metric"):
            series[metric["metricName"]][metric["step"]] = metric["metricValue"]
        asset = message.get("additional_params") or {}
        if name := asset.get("fileName") or asset.get("figName"):
            series[name][asset["step"]] = message["file_path"]
    return dict(series)


def swanlab_offline(folder: Path) -> Series:
    """The history of the only offline run below `folder`; of pictures and tables their files' names."""
    from swanlab.proto.swanlab.record.v1.record_pb2 import Record

    [file] = folder.glob("swanlog/run-*/run-*.swanlab")
    series: Series = defaultdict(dict)
    for data in _records(file.read_bytes()):
        record = Record.FromString(data)
        if record.HasField("scalar"):
            series[record.scalar.key][record.scalar.step] = record.scalar.value.number
        elif record.HasField("media"):
            series[record.media.key][record.media.step] = str(record.media.value)
    return dict(series)


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
