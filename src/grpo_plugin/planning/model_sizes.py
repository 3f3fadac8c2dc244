"""The sizes of a model, from its config.json, and the parameters and cache bytes that follow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grpo_plugin.recipe.positions import positions


@dataclass(frozen=True)
class VisionShape:
    """The vision tower of the Qwen-VL kinds; `gated` towers have three matrices in their feed-forward, not two."""

    layers: int
    hidden: int
    intermediate: int
    out: int
    gated: bool
    mergers: int = 1

    @property
    def parameters(self) -> int:
        """Patch embedding and norms are left out: under 1 % of a tower."""
        layer = 4 * self.hidden**2 + (3 if self.gated else 2) * self.hidden * self.intermediate
        merged = 4 * self.hidden  # a merger joins four neighbouring patches
        return self.layers * layer + self.mergers * (merged**2 + merged * self.out)


@dataclass(frozen=True)
class ModelShape:
    """A decoder of the Llama, Qwen, Mistral or Gemma kind.

    Attributes:
        experts: feed-forwards per layer, each `intermediate` wide; 1 in a dense model.
        tied: input and output embeddings are one matrix.
        positions: the longest sequence the model takes, in tokens; 0 if its configuration does not say.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    tied: bool
    positions: int
    experts: int = 1
    vision: VisionShape | None = None

    @property
    def attention(self) -> int:
        """Width of the queries."""
        return self.heads * self.head_dim

    @property
    def kv(self) -> int:
        """Width of the keys, and of the values."""
        return self.kv_heads * self.head_dim

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """(input, output) width of each linear layer of one decoder layer, by the name LoRA targets it with."""
        return {
            "q_proj": (self.hidden, self.attention),
            "k_proj": (self.hidden, self.kv),
            "v_proj": (self.hidden, self.kv),
            "o_proj": (self.attention, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def layer(self) -> int:
        """Parameters of one decoder layer; biases and the norms of queries and keys are left out, under 0.1 %."""
        sizes = {name: width * out for name, (width, out) in self.matrices.items()}
        feed_forward = sizes["gate_proj"] + sizes["up_proj"] + sizes["down_proj"]
        router = self.hidden * self.experts if self.experts > 1 else 0
        return sum(sizes.values()) + (self.experts - 1) * feed_forward + router + 2 * self.hidden

    @property
    def embedding(self) -> int:
        return self.vocab * self.hidden

    @property
    def embeddings(self) -> int:
        """Input embedding and output head together; once if they are tied."""
        return self.embedding if self.tied else 2 * self.embedding

    @property
    def parameters(self) -> int:
        tower = self.vision.parameters if self.vision else 0
        return self.layers * self.layer + self.embeddings + self.hidden + tower

    @property
    def cache_per_token(self) -> int:
        """Bytes of keys and values that vLLM holds for one token, in 16 bits."""
        return 2 * self.layers * self.kv * 2


def from_config(config: Mapping[str, Any]) -> ModelShape:
    """The shape a config.json describes.

    Raises:
        KeyError: the architecture has no such sizes (an encoder, a state-space model).
    """
    text: Mapping[str, Any] = config.get("text_config") or config
    heads = int(text["num_attention_heads"])
    hidden = int(text["hidden_size"])
    experts = int(text.get("num_experts") or text.get("num_local_experts") or 1)
    width = text.get("moe_intermediate_size") if experts > 1 else None
    return ModelShape(
        layers=int(text["num_hidden_layers"]),
        hidden=hidden,
        heads=heads,
        kv_heads=int(text.get("num_key_value_heads") or heads),
        head_dim=int(text.get("head_dim") or hidden // heads),
        intermediate=int(width or text["intermediate_size"]),
        vocab=int(text["vocab_size"]),
        tied=bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
        positions=positions(config) or 0,
        experts=experts,
        vision=_vision(config.get("vision_config")),
    )


def _vision(config: Mapping[str, Any] | None) -> VisionShape | None:
    if not config or "depth" not in config:
        return None
    return VisionShape(
        layers=int(config["depth"]),
        hidden=int(config["hidden_size"]),
        intermediate=int(config.get("intermediate_size") or 4 * config["hidden_size"]),
        out=int(config.get("out_hidden_size") or config["hidden_size"]),
        gated="window_size" in config,  # Qwen2.5-VL
        mergers=1 + len(config.get("deepstack_visual_indexes") or ()),
    )
