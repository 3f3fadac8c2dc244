"""The keys of Axolotl that this package computes with: what each must be, checked before anything is computed.

Axolotl's own schema checks them too, but to import it takes seconds and torch, and its errors are tracebacks. Keys that
are not here are passed on as they are.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from grpo_plugin.config.block import parse_model


class _Values(BaseModel):
    """Keys and values of which only some are named here."""

    model_config = ConfigDict(extra="allow", frozen=True)


def _refuse_bool(value: Any) -> Any:
    """Python takes True for 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("not_a_number", "true and false are not numbers")
    return value


# Numbers may be written as text, as YAML reads 1e-6, which has no point. The bounds stand before the validator, or
# pydantic leaves them out of the JSON schema.
_NO_BOOL = BeforeValidator(_refuse_bool)
Whole = Annotated[int, _NO_BOOL]
WholeFromZero = Annotated[int, Field(ge=0), _NO_BOOL]
Count = Annotated[int, Field(ge=1), _NO_BOOL]
FromZero = Annotated[float, Field(ge=0, allow_inf_nan=False), _NO_BOOL]
OverZero = Annotated[float, Field(gt=0, allow_inf_nan=False), _NO_BOOL]
Share = Annotated[float, Field(ge=0, le=1), _NO_BOOL]
ShareOverZero = Annotated[float, Field(gt=0, le=1), _NO_BOOL]


class ZeroOptimizationValues(_Values):
    stage: WholeFromZero | None = None
    offload_optimizer: dict[str, Any] | None = None
    offload_param: dict[str, Any] | None = None


class DeepspeedValues(_Values):
    zero_optimization: ZeroOptimizationValues | None = None


class AcceleratorValues(_Values):
    gradient_accumulation_kwargs: dict[str, Any] | None = None


class TrlOptions(_Values):
    """Options of TRL's GRPOConfig that Axolotl's `trl:` lacks, and that a run of this package takes there."""

    cast_lm_head_to_fp32: bool | None = None
    router_aux_loss_coef: FromZero | None = None
    shuffle_dataset: bool | None = None
    top_entropy_quantile: ShareOverZero | None = None


class TrlValues(TrlOptions):
    num_generations: Count | None = None
    generation_batch_size: Count | None = None
    num_iterations: Count | None = None
    max_completion_length: Count | None = None
    temperature: OverZero | None = None
    top_p: ShareOverZero | None = None
    top_k: Whole | None = None
    min_p: Share | None = None
    repetition_penalty: OverZero | None = None
    beta: FromZero | None = None
    epsilon: FromZero | None = None
    epsilon_high: FromZero | None = None
    generation_kwargs: dict[str, Any] | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class VllmValues(_Values):
    tensor_parallel_size: Count | None = None
    data_parallel_size: Count | None = None
    gpu_memory_utilization: ShareOverZero | None = None
    max_model_len: Count | None = None


class AxolotlValues(_Values):
    plugins: Annotated[list[Any] | None, Field(json_schema_extra={"expected": "a list of plugins"})] = None
    base_model: str | None = None
    output_dir: str | None = None
    adapter: str | None = None
    optimizer: str | None = None
    micro_batch_size: Count | None = None
    gradient_accumulation_steps: Count | None = None
    batch_size: Count | None = None
    num_epochs: OverZero | None = None
    max_steps: Whole | None = None
    learning_rate: FromZero | None = None
    sequence_len: Count | None = None
    seed: Whole | None = None
    save_steps: OverZero | None = None
    save_total_limit: WholeFromZero | None = None
    lora_r: Count | None = None
    lora_target_modules: Annotated[str | list[Any] | None, Field(json_schema_extra={"expected": "names of layers"})] = (
        None
    )
    context_parallel_size: Count | None = None
    sequence_parallel_degree: Count | None = None
    fsdp_config: dict[str, Any] | None = None
    deepspeed: Annotated[
        str | DeepspeedValues | None, Field(json_schema_extra={"expected": "a file, or keys and values"})
    ] = None
    accelerator_config: AcceleratorValues | None = None
    trl: TrlValues | None = None
    vllm: VllmValues | None = None


def read_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a recipe's values, in which those named here are the numbers that their text stands for.

    Raises:
        RecipeError: for the first value that is of another type, or out of bounds.
    """
    read = parse_model(AxolotlValues, "", dict(values)).model_dump(exclude_unset=True)
    return {key: read[key] for key in values}
