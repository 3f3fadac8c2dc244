"""GPUs with nothing to do, by hand: 8 GPUs, vLLM on one of the first machine's unless said otherwise."""

import pytest

from grpo_plugin.planning.idle import idle_gpus, idle_warning
from grpo_plugin.planning.machine import Machine
from grpo_plugin.planning.plan import Plan
from grpo_plugin.planning.plan_warnings import warnings_of


def trl(rollout: int | None) -> dict[str, int]:
    sizes = {"num_generations": 4, "max_completion_length": 28}
    return {**sizes, "generation_batch_size": rollout} if rollout else sizes


def test_none_are_idle_where_all_train_or_serve(recipe):
    plan = Plan(recipe(trl=trl(7 * 16)), Machine(8, 7))
    assert (idle_gpus(plan), idle_warning(plan)) == (0, None)
    assert Plan(recipe(), Machine(8, 9)).problems and idle_gpus(Plan(recipe(), Machine(8, 9))) == 0


def test_on_one_machine_the_sizes_that_use_all_are_named(recipe):
    """8 × 2 × 5 = 80 completions of 5 processes; 7 processes make 112 of them in one step."""
    plan = Plan(recipe(trl=trl(80)), Machine(8, 5))
    assert idle_warning(plan) == (
        "2 of 8 GPUs have nothing to do; use --num-processes=7 with gradient_accumulation_steps 1 and "
        "trl.generation_batch_size 56, or serve with them (vllm.data_parallel_size: 3), or ask for 6 GPUs."
    )
    assert idle_warning(plan) in warnings_of(plan)


def test_a_batch_that_divides_is_left_as_it_is(recipe):
    """3 processes × 8 × 2 = 48 completions per step, of which 96 are two and 224 no whole number."""
    plan = Plan(recipe(trl=trl(224)), Machine(4, 2))
    assert idle_warning(plan).startswith("1 of 4 GPUs have nothing to do; use --num-processes=3 with ")
    assert idle_warning(Plan(recipe(trl=trl(96)), Machine(4, 2))).startswith(
        "1 of 4 GPUs have nothing to do; use --num-processes=3, or "
    )


def test_on_several_machines_the_servers_share_is_idle_on_all_but_the_first(recipe):
    """4 GPUs serve, so 4 of each machine train: 8 machines leave 7 × 4 idle."""
    plan = Plan(recipe(vllm={"tensor_parallel_size": 4}, trl=trl(1024)), Machine(8, 32, nodes=8))
    assert plan.serving_gpus == 4
    assert idle_warning(plan) == (
        "28 of 64 GPUs have nothing to do; serve vLLM on another machine (rollout.url) and use --num-processes=64, "
        "because the 4 GPU(s) that it takes of the first stay idle on the others."
    )
    fewer = Plan(recipe(trl=trl(256)), Machine(4, 4, nodes=2))
    assert idle_warning(fewer) == (
        "3 of 8 GPUs have nothing to do; use --num-processes=6 with gradient_accumulation_steps 2 and "
        "trl.generation_batch_size 288, which leaves 1 idle, or serve vLLM on another machine (rollout.url) and use "
        "--num-processes=8, because the 1 GPU(s) that it takes of the first stay idle on the others, or ask for 3 GPUs "
        "per machine."
    )


@pytest.mark.parametrize("rollout", [{"url": "http://127.0.0.1:8000"}])
def test_with_a_server_elsewhere_all_train(recipe, rollout):
    plan = Plan(recipe(rollout=rollout, trl=trl(256)), Machine(8, 16, nodes=2))
    assert (plan.serving_gpus, idle_warning(plan)) == (0, None)
