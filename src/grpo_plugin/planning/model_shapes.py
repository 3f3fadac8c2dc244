"""Sizes of well-known models, and how those of others are found: in a folder, in the hub's cache, on the hub."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grpo_plugin.planning.model_sizes import ModelShape, VisionShape, from_config


def _qwen25_tower(out: int, intermediate: int = 3420) -> VisionShape:
    return VisionShape(layers=32, hidden=1280, intermediate=intermediate, out=out, gated=True)


def _qwen3_tower(layers: int, hidden: int, intermediate: int, out: int) -> VisionShape:
    return VisionShape(layers, hidden, intermediate, out, gated=False, mergers=4)


# From the config.json of each, under the name without what follows the size (-Instruct, -Base, -Thinking).
SHAPES = {
    "Qwen2.5-0.5B": ModelShape(24, 896, 14, 2, 64, 4864, 151936, True, 32768),
    "Qwen2.5-1.5B": ModelShape(28, 1536, 12, 2, 128, 8960, 151936, True, 32768),
    "Qwen2.5-3B": ModelShape(36, 2048, 16, 2, 128, 11008, 151936, True, 32768),
    "Qwen2.5-7B": ModelShape(28, 3584, 28, 4, 128, 18944, 152064, False, 32768),
    "Qwen2.5-14B": ModelShape(48, 5120, 40, 8, 128, 13824, 152064, False, 32768),
    "Qwen2.5-32B": ModelShape(64, 5120, 40, 8, 128, 27648, 152064, False, 32768),
    "Qwen2.5-72B": ModelShape(80, 8192, 64, 8, 128, 29568, 152064, False, 32768),
    "Qwen3-0.6B": ModelShape(28, 1024, 16, 8, 128, 3072, 151936, True, 40960),
    "Qwen3-1.7B": ModelShape(28, 2048, 16, 8, 128, 6144, 151936, True, 40960),
    "Qwen3-4B": ModelShape(36, 2560, 32, 8, 128, 9728, 151936, True, 40960),
    "Qwen3-8B": ModelShape(36, 4096, 32, 8, 128, 12288, 151936, False, 40960),
    "Qwen3-14B": ModelShape(40, 5120, 40, 8, 128, 17408, 151936, False, 40960),
    "Qwen3-32B": ModelShape(64, 5120, 64, 8, 128, 25600, 151936, False, 40960),
    "Qwen3-30B-A3B": ModelShape(48, 2048, 32, 4, 128, 768, 151936, False, 40960, 128),
    "Qwen2.5-VL-3B": ModelShape(36, 2048, 16, 2, 128, 11008, 151936, True, 128000, 1, _qwen25_tower(2048)),
    "Qwen2.5-VL-7B": ModelShape(28, 3584, 28, 4, 128, 18944, 152064, False, 128000, 1, _qwen25_tower(3584)),
    "Qwen2.5-VL-32B": ModelShape(64, 5120, 40, 8, 128, 27648, 152064, False, 128000, 1, _qwen25_tower(5120, 3456)),
    "Qwen3-VL-4B": ModelShape(36, 2560, 32, 8, 128, 9728, 151936, True, 262144, 1, _qwen3_tower(24, 1024, 4096, 2560)),
    "Qwen3-VL-8B": ModelShape(
        36, 4096, 32, 8, 128, 12288, 151936, False, 262144, 1, _qwen3_tower(27, 1152, 4304, 4096)
    ),
    "Qwen3-VL-30B-A3B": ModelShape(
        48, 2048, 32, 4, 128, 768, 151936, False, 262144, 128, _qwen3_tower(27, 1152, 4304, 2048)
    ),
    "SmolLM2-135M": ModelShape(30, 576, 9, 3, 64, 1536, 49152, True, 8192),
    "Llama-3.2-1B": ModelShape(16, 2048, 32, 8, 64, 8192, 128256, True, 131072),
    "Llama-3.2-3B": ModelShape(28, 3072, 24, 8, 128, 8192, 128256, True, 131072),
    "Llama-3.1-8B": ModelShape(32, 4096, 32, 8, 128, 14336, 128256, False, 131072),
}


@dataclass(frozen=True)
class Model:
    """A shape, where it was found, and the configuration (config.json) that it was read from, of a `folder` if any."""

    shape: ModelShape
    source: str
    config: Mapping[str, Any]
    folder: Path | None = None

    @property
    def exact(self) -> bool:
        """Whether the sizes are those of this model; the table has those of its family."""
        return self.source != TABLE

    @property
    def stored_bytes(self) -> int:
        """Of its weights as files: their sizes, where they are here; else as many as its configuration's type takes."""
        files = sorted(self.folder.glob("*.safetensors")) if self.folder else []
        # Some repositories hold the same weights once more in another layout, as Mistral's consolidated.safetensors.
        files = [file for file in files if file.name.startswith("model")] or files
        if files and all(file.is_file() for file in files):  # a link of the hub's cache may lead nowhere
            return sum(file.stat().st_size for file in files)
        dtype = str(self.config.get("dtype") or self.config.get("torch_dtype") or "")
        return self.shape.parameters * (4 if dtype.endswith("float32") else 2)


TABLE = "the table of well-known shapes"


def find_model(name: str, *, online: bool = False) -> Model | None:
    """The sizes of `base_model`; None if they are not found. Reads one small file at most.

    Args:
        online: ask the hub for config.json if neither a folder, nor the cache, nor the table has the model.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _read(folder / "config.json", "its config.json")
    if cached := _cached(name):
        return _read(cached, "its config.json in the hub's cache")
    if shape := _in_table(name):
        return Model(shape, TABLE, {"max_position_embeddings": shape.positions})
    downloaded = _download(name) if online and "/" in name else None
    return _read(downloaded, "its config.json on the hub") if downloaded else None


def _read(path: Path, source: str) -> Model | None:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return Model(from_config(config), source, config, path.parent)
    except (OSError, ValueError, KeyError):
        return None


def _in_table(name: str) -> ModelShape | None:
    plain = name.rpartition("/")[2].replace("-Coder", "").replace("-Math", "").casefold()
    for known, shape in SHAPES.items():
        if plain == known.casefold() or plain.startswith(f"{known.casefold()}-"):
            return shape
    return None


def _cached(name: str) -> Path | None:
    home = os.environ.get("HF_HOME") or Path("~/.cache/huggingface").expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")
    snapshots = hub / f"models--{name.replace('/', '--')}" / "snapshots"
    found = sorted(filter(Path.is_file, snapshots.glob("*/config.json")), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def _download(name: str) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(name, "config.json", etag_timeout=5))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError):
        return None
