import pytest

from grpo_plugin.planning.machine import GIB, Machine, card
from grpo_plugin.planning.plan import Plan
from grpo_plugin.planning.plan_warnings import warnings_of


def test_small_updates_are_warned_of(recipe):
    lossy = warnings_of(Plan(recipe(optimizer="adamw_torch_fused"), Machine(2, 1)))
    assert any("optimizer: adamw_torch_fused on 16-bit weights rounds most updates away" in line for line in lossy)
    for changes in ({}, {"optimizer": "adamw_torch_fused", "adapter": "lora"}, {"learning_rate": 1e-3}):
        assert warnings_of(Plan(recipe(**changes), Machine(2, 1))) == []


def test_without_a_limit_vllm_is_started_for_the_longest_sequence(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    unlimited = {"train": "user/data@train"}
    plan = Plan(recipe(base_model="Qwen/Qwen2.5-0.5B", prompts=unlimited), Machine(2, 1))
    assert any("vLLM is started for sequences of 32768 tokens" in line for line in warnings_of(plan))
    assert warnings_of(Plan(recipe(prompts=unlimited), Machine(2, 1))) == []


def memory_warning(plan: Plan) -> str:
    return next(line for line in warnings_of(plan) if line.startswith("The trainer needs"))


def test_what_would_not_fit_is_warned_of(recipe):
    tight = Plan(recipe(), Machine(2, 1, gpu_memory=GIB))
    assert memory_warning(tight).startswith(
        "The trainer needs about 2.3 GiB per GPU, and of 1 GiB 0.9 are usable (driver and fragments take 5%); "
    )
    assert any(line.startswith("vLLM needs about") for line in warnings_of(tight))
    assert tight.least_trainers is None
    assert Plan(recipe(), Machine(2, 1)).least_trainers == 1


FSDP = {"fsdp_config": {"transformer_layer_cls_to_wrap": "Qwen2DecoderLayer"}, "prompts": {"train": "user/data@train"}}


@pytest.fixture
def large(recipe, tmp_path, monkeypatch):
    """A 32B model divided over the GPUs that train, two more of which serve; micro-batches of one short sequence."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    return recipe(base_model="Qwen/Qwen2.5-32B", vllm={"tensor_parallel_size": 2}, micro_batch_size=1, **FSDP)


def test_more_gpus_are_warned_ofly_where_the_machine_has_them(large):
    def warned(gpus: int, processes: int, nodes: int = 1) -> str:
        return memory_warning(Plan(large, Machine(gpus, processes, nodes)))

    least = Plan(large, Machine(64)).least_trainers
    assert least is not None and least > 8, "or the numbers below say nothing"
    assert f"train on {least} GPUs (--num-processes)" in warned(least + 2, 2)
    assert f"train on {least + least % 2} GPUs" in warned((least + 5) // 2, 2, nodes=2)
    several = warned(8, 6)
    assert "GPUs (--num-processes)" not in several and f"train on {-(-least // 6)} such machines (--nodes)" in several
    assert "train on" not in warned(2, 1), "no machine like this has a GPU left to train"
    assert "adapter: lora" in several


def test_larger_gpus_are_suggested_where_there_are_some(large):
    plan = Plan(large, Machine(8, 6))
    assert f"use GPUs of {card(plan.trainer.total)} GiB" in memory_warning(plan)
    assert (card(75 * GIB), card(77 * GIB), card(10, above=80 * GIB), card(300 * GIB)) == (80, 96, 96, None)


def test_an_adapter_is_not_suggested_to_one_who_has_it(recipe):
    plan = Plan(recipe(adapter="lora", lora_r=8, micro_batch_size=512), Machine(2, 1, gpu_memory=GIB))
    assert "adapter: lora" not in memory_warning(plan)


def test_sequences_over_the_positions_of_the_table_are_warned_of(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))

    def long(**changes):
        trl = {"num_generations": 4, "max_completion_length": 40000}
        prompts = {"train": "user/data@train", "max_length": 2048}
        return Plan(recipe(base_model="Qwen/Qwen2.5-7B", trl=trl, prompts=prompts, **changes), Machine(2, 1))

    plan = long()
    assert plan.problems == []
    expected = (
        "prompts.max_length: sequences of 42048 tokens are over the 32768 positions of the table of well-known shapes, "
        "which vLLM refuses if the model's config.json says so too; "
    )
    assert any(line.startswith(expected) for line in warnings_of(plan)), warnings_of(plan)
    yarn = '--hf-overrides={"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}'
    for told in ({"env": {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}}, {"args": [yarn]}):
        assert not any("tokens are over" in line for line in warnings_of(long(rollout=told)))
    for told in ({"env": {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "0"}}, {"args": ["--hf-overrides={}"]}):
        assert any("tokens are over" in line for line in warnings_of(long(rollout=told)))


def test_a_completion_alone_may_be_over_the_positions(recipe):
    trl = {"num_generations": 4, "max_completion_length": 600}
    plan = Plan(recipe(trl=trl, prompts={"train": "user/data@train"}), Machine(2, 1))
    assert any(line.startswith("trl.max_completion_length: sequences of 600") for line in plan.problems), plan.problems
