"""A checkpoint as one Hugging Face folder: shards of FSDP or DeepSpeed are put together, an adapter is merged.

Tokenizer, chat template and generation config come along. The result is proved: loaded from the new folder, it must
give the log-probabilities that the checkpoint's own weights give.
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from grpo_plugin.errors import RecipeError, TrainingError
from grpo_plugin.recipe.checkpoint_layout import FSDP_FOLDER, INDEX, TOKENIZERS, Layout, layout_of

# What a folder needs beside its weights; what only a resumed run reads (optimizer, states) stays out.
COMPANIONS = (
    *("config.json", "generation_config.json", "chat_template.jinja", "chat_template.json", *TOKENIZERS),
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt", "vocab.txt"),
    *("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json", "*.py"),
)
PICTURES = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
PROBES = 8  # sequences
PROBE_TOKENS = 64
LARGEST_GAP = {torch.float32: 1e-4, torch.float64: 1e-4}  # nats of one token; of other types HALF_GAP
HALF_GAP = 0.25  # merging an adapter in half precision rounds the sum


def export(checkpoint: Path, out: Path, *, base_model: str | None, others: Sequence[Path] = ()) -> Layout:
    """Write the model of `checkpoint` to `out`, which must be empty or new; returns the form it was in.

    Args:
        base_model: what an adapter belongs to, and what gives the architecture of shards.
        others: folders that may have the tokenizer and configuration where the checkpoint has none.

    Raises:
        RecipeError: `out` has files, or the checkpoint has no weights, no base model, or needs DeepSpeed.
    """
    check_new(out)
    layout = layout_of(checkpoint)
    if layout == "none":
        raise RecipeError(f"{checkpoint}: has no weights; name a folder `checkpoint-STEP`, or the model of a run.")
    out.mkdir(parents=True, exist_ok=True)
    places = [checkpoint, *others, *([Path(base_model)] if base_model and Path(base_model).is_dir() else [])]
    _copy_companions(places, out)
    if layout == "model":
        for file in sorted([*checkpoint.glob("model*.safetensors"), *checkpoint.glob(INDEX)]):
            shutil.copyfile(file, out / file.name)
    else:
        loaded_model(checkpoint, base_model, places).save_pretrained(out)
    _save_tokenizer(base_model, out)
    return layout


def check_new(out: Path) -> None:
    """Refuse a folder that is in use.

    Raises:
        RecipeError: `out` has files.
    """
    if out.exists() and any(out.iterdir()):
        raise RecipeError(f"--out: {str(out)!r} has files in it; name a new folder.")


def loaded_model(
    checkpoint: Path,
    base_model: str | None,
    places: Sequence[Path] = (),
    *,
    merge: bool = True,
    trainable: bool = False,
) -> Any:
    """The model of a checkpoint in any form, on the CPU.

    Args:
        merge: an adapter into its base.
        trainable: an adapter that is not merged has gradients.

    Raises:
        RecipeError: as `export`.
    """
    layout = layout_of(checkpoint)
    if layout == "model":
        return from_pretrained(checkpoint)
    if layout == "adapter":
        from peft import PeftModel

        base = base_model or json.loads((checkpoint / "adapter_config.json").read_text())["base_model_name_or_path"]
        adapted: Any = PeftModel.from_pretrained(from_pretrained(base), str(checkpoint), is_trainable=trainable)
        return adapted.merge_and_unload() if merge else adapted
    weights = _fsdp_weights(checkpoint) if layout == "fsdp" else _deepspeed_weights(checkpoint)
    return _with_weights(weights, base_model, places or [checkpoint], checkpoint, merge=merge)


def check(checkpoint: Path, out: Path, base_model: str | None, others: Sequence[Path] = ()) -> float:
    """The largest difference in log-probability (nats) of a token between the checkpoint and `out`, on probe sequences.

    Raises:
        TrainingError: it is larger than rounding explains.
    """
    places = [checkpoint, *others, *([Path(base_model)] if base_model and Path(base_model).is_dir() else [])]
    expected = logps_of(loaded_model(checkpoint, base_model, places, merge=False))
    model = from_pretrained(out)
    gap = (logps_of(model) - expected).abs().max().item()
    if gap > (limit := LARGEST_GAP.get(model.dtype, HALF_GAP)):
        raise TrainingError(
            f"{checkpoint}: the log-probabilities of its export differ from its own by up to {gap:.2g} nats, over "
            f"{limit:g}; it is not the model that was trained."
        )
    return gap


def logps_of(model: nn.Module) -> Tensor:
    """(PROBES, PROBE_TOKENS − 1) log-probabilities of fixed sequences of token ids."""
    model.eval()
    vocabulary = model.get_input_embeddings().num_embeddings  # type: ignore[operator]
    ids = torch.randint(vocabulary, (PROBES, PROBE_TOKENS), generator=torch.Generator().manual_seed(0))
    for name in PICTURES:  # which must not stand in a text
        ids[ids == getattr(model.config, name, None)] = 0
    with torch.no_grad():
        rows = [model(input_ids=row.unsqueeze(0)).logits[0, :-1].float().log_softmax(-1) for row in ids]
    return torch.stack(rows).gather(-1, ids[:, 1:].unsqueeze(-1)).squeeze(-1)


def from_pretrained(folder: Path | str) -> Any:
    """A model, of the class that the configuration names, in the type that its weights were saved in."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(str(folder))
    names = [name.removeprefix("FSDP") for name in config.architectures or []]
    kind = next((found for name in names if (found := getattr(transformers, name, None))), None)
    return (kind or transformers.AutoModelForCausalLM).from_pretrained(str(folder), dtype="auto")


def _with_weights(
    weights: dict[str, Tensor], base_model: str | None, places: Sequence[Path], checkpoint: Path, *, merge: bool
) -> Any:
    """Weights that were put together, in the model or the adapter that they belong to."""
    if any(".lora_" in name for name in weights):
        return _with_adapter(weights, base_model, checkpoint, merge=merge)
    import transformers

    place = next((place for place in places if (place / "config.json").is_file()), base_model)
    if place is None:
        raise RecipeError(f"{checkpoint}: has no config.json, and no base_model is known; give --base-model.")
    config = transformers.AutoConfig.from_pretrained(str(place))
    name = (config.architectures or ["AutoModelForCausalLM"])[0].removeprefix("FSDP")
    dtype = config.dtype or torch.float32
    model = getattr(transformers, name)._from_config(config, dtype=dtype)
    missing, unknown = model.load_state_dict(weights, strict=False)
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    if unknown or set(missing) - tied:
        raise RecipeError(
            f"{checkpoint}: its shards have {len(weights)} tensors, of which {len(unknown)} are unknown to {name} and "
            f"{len(set(missing) - tied)} are missing; is --base-model the one that was trained?"
        )
    model.tie_weights()
    return model


def _with_adapter(weights: dict[str, Tensor], base_model: str | None, checkpoint: Path, *, merge: bool) -> Any:
    from peft import PeftConfig, get_peft_model, set_peft_model_state_dict

    place = checkpoint if (checkpoint / "adapter_config.json").is_file() else checkpoint.parent
    if not (place / "adapter_config.json").is_file() or base_model is None:
        raise RecipeError(f"{checkpoint}: its adapter needs adapter_config.json and a base model; give --base-model.")
    adapted: Any = get_peft_model(from_pretrained(base_model), PeftConfig.from_pretrained(str(place)))
    set_peft_model_state_dict(adapted, {name: tensor for name, tensor in weights.items() if ".lora_" in name})
    return adapted.merge_and_unload() if merge else adapted


def _fsdp_weights(checkpoint: Path) -> dict[str, Tensor]:
    """The shards of torch's distributed checkpoint as whole tensors."""
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    with tempfile.TemporaryDirectory(dir=checkpoint.parent) as folder:
        whole = Path(folder) / "whole.pt"
        dcp_to_torch_save(checkpoint / FSDP_FOLDER, whole)
        weights: dict[str, Any] = torch.load(whole, weights_only=True, mmap=True)
        found: dict[str, Tensor] = weights.get("model", weights)
        return {name: tensor.clone() for name, tensor in found.items()}


def _deepspeed_weights(checkpoint: Path) -> dict[str, Tensor]:
    try:
        from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint
    except ImportError:
        raise RecipeError(
            f"{checkpoint}: its weights are in the shards of DeepSpeed, which is not installed here; "
            "pip install 'grpo-plugin[deepspeed]'."
        ) from None
    weights: dict[str, Tensor] = get_fp32_state_dict_from_zero_checkpoint(str(checkpoint))
    return weights


def _copy_companions(places: Sequence[Path], out: Path) -> None:
    """Configuration, tokenizer, chat template, processor: each file from the first place that has it."""
    for place in places:
        for pattern in COMPANIONS:
            for file in place.glob(pattern):
                if not (out / file.name).exists():
                    shutil.copyfile(file, out / file.name)


def _save_tokenizer(base_model: str | None, out: Path) -> None:
    """Of the base model, where no place had one; a generation config made from the model's configuration."""
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    if not any((out / name).is_file() for name in TOKENIZERS) and base_model:
        AutoTokenizer.from_pretrained(base_model).save_pretrained(out)
    if not (out / "generation_config.json").is_file():
        GenerationConfig.from_model_config(AutoConfig.from_pretrained(str(out))).save_pretrained(out)
