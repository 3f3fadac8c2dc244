"""The longest sequence that a model takes, from its config.json: the one rule for `plan` and for the check of the data.

The rule is vLLM's (`_get_and_verify_max_len` of vllm/config/model.py, 0.23 to 0.32), in one case the more generous one:
where `max_position_embeddings` does not include YaRN's scaling, vLLM 0.23 multiplies and 0.32 does not.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Keys that hold the longest sequence, as different families call it; the smallest counts.
LENGTHS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "max_target_positions",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)
TEXT_CONFIGS = ("text_config", "llm_config", "language_config")
YARN = ("yarn", "deepseek_yarn")
# Types of RoPE scaling that max_position_embeddings includes already.
COUNTED = ("llama3", "longrope", "su", "deepseek_llama_scaling")


def positions(config: Mapping[str, Any], vllm_args: Sequence[str] = ()) -> int | None:
    """The longest sequence in tokens, with the configuration's RoPE scaling; None if it says nothing.

    Args:
        config: of config.json, or `to_dict()` of a configuration of transformers.
        vllm_args: arguments of vLLM's server, of which `--hf-overrides` changes the configuration.
    """
    text = _text_config(with_overrides(config, _hf_overrides(vllm_args)))
    if text.get("model_max_length"):  # Cohere's, which vLLM prefers
        return int(text["model_max_length"])
    lengths = [int(text[key]) for key in LENGTHS if text.get(key)]
    return max([min(lengths), *_stretched(text, min(lengths))]) if lengths else None


def with_overrides(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with other values; those of a nested configuration (`text_config`) are merged into it."""
    changed = dict(config)
    for key, value in overrides.items():
        nested = key.endswith("_config") and isinstance(value, Mapping) and isinstance(config.get(key), Mapping)
        changed[key] = with_overrides(config[key], value) if nested else value
        if key in ("rope_scaling", "rope_parameters"):  # the old and the new name of one thing
            changed.pop({"rope_scaling": "rope_parameters", "rope_parameters": "rope_scaling"}[key], None)
    return changed


def lifts_limit(environ: Mapping[str, str]) -> bool:
    """Whether vLLM would serve a max_model_len over the model's positions: VLLM_ALLOW_LONG_MAX_MODEL_LEN."""
    return environ.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "").strip().lower() in ("1", "true")


def _text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a vision model's configuration that is about text; a text model's is all about it."""
    return next((config[key] for key in TEXT_CONFIGS if isinstance(config.get(key), Mapping)), config)


def _stretched(text: Mapping[str, Any], length: int) -> Iterator[int]:
    """The length with the RoPE scaling of each of the model's embeddings that `length` does not include yet."""
    if "gemma3" in str(text.get("model_type")):  # max_position_embeddings counts it, though the type is linear
        return
    for rope in _rotary_embeddings(text):
        kind, factor = rope.get("rope_type") or rope.get("type"), float(rope.get("factor") or 1)
        if kind in YARN:
            yield int((rope.get("original_max_position_embeddings") or length) * factor)
        elif kind not in COUNTED:
            yield int(length * factor)


def _rotary_embeddings(text: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """One for the whole model, or one for each type of layer."""
    rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
    nested = [part for part in rope.values() if isinstance(part, Mapping)]
    yield from nested or [rope]


def _hf_overrides(args: Sequence[str]) -> dict[str, Any]:
    """What `--hf-overrides` says: `--hf-overrides '{…}'`, `--hf-overrides={…}`, `--hf-overrides.key=value`.

    Empty where its value is not JSON, which vLLM itself refuses.
    """
    overrides: dict[str, Any] = {}
    for position, argument in enumerate(args):
        match = re.match(r"--hf[-_]overrides(?:\.(?P<keys>[\w.]+))?(?P<equals>=|$)", argument)
        if match is None:
            continue
        value = argument[match.end() :] if match["equals"] else "".join(args[position + 1 : position + 2])
        for key in reversed(match["keys"].split(".") if match["keys"] else []):
            value = f'{{"{key}": {value}}}'
        overrides |= _json_object(value)
    return overrides


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
