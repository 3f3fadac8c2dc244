"""The canary compares each version of the weights once, and stops the run where vLLM has others."""

import pytest
from datasets import Dataset

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.errors import RolloutError
from grpo_plugin.trainer.canary import PROBE_TOKENS, Canary
from grpo_plugin.trainer.prompt_sampler import PromptSampler
from tests.unit.trainer.characters import Backend, make_generator
from tests.unit.trainer.rollouts import make_step, rollouts


def canary_of(float32=False, **block):
    step = make_step({"name": "grpo"})
    backend = Backend(lambda prompt, place: "\x02\x03")
    config = RolloutConfig(**block)
    return Canary(step.policy, make_generator(backend), config, step.metrics, float32=float32), step, backend


def sampled(step, shift=0.0):
    """Rollouts of version 1 with the policy's own log-probabilities, moved by `shift` nats."""
    given = rollouts(policy_version=lambda one: 1)
    for one, logps in zip(given, step.policy.compute_logps(given), strict=True):
        one.sampler_logps = (logps + shift).tolist()
    return given


def test_the_same_weights_have_no_gap():
    canary, step, _ = canary_of()
    canary.check(sampled(step))
    logged = step.metrics.drain()
    assert logged["rollout/logp_gap"] < 1e-6 and logged["rollout/logp_gap_max"] < 1e-6


def test_other_weights_stop_the_run_and_the_gap_is_named():
    canary, step, _ = canary_of(max_logp_gap=0.05)
    with pytest.raises(RolloutError, match=r"rollout.max_logp_gap: .*version 1 of the weights by 0\.1 nats"):
        canary.check(sampled(step, shift=0.1))


@pytest.mark.parametrize(("float32", "shift"), [(True, 0.002), (False, 0.2)])
def test_without_a_limit_it_follows_the_precision(float32, shift):
    canary, step, _ = canary_of(float32=float32)
    with pytest.raises(RolloutError, match=f"over the limit of {shift / 2:g}"):
        canary.check(sampled(step, shift=shift))


def test_a_jump_with_the_first_update_stops_under_any_limit():
    canary, step, backend = canary_of(max_logp_gap=5.0)
    canary.check(sampled(step))
    backend.version = 2
    for one in (newer := sampled(step, shift=0.01)):
        one.policy_version = 2
    with pytest.raises(RolloutError, match="version 2 of the weights, the first after an update"):
        canary.check(newer)


def test_a_version_is_compared_once_and_older_rollouts_say_nothing_of_it():
    canary, step, backend = canary_of(max_logp_gap=0.05)
    canary.check(sampled(step))
    canary.check(sampled(step, shift=9.0))
    backend.version = 2
    canary.check(sampled(step, shift=9.0))
    for one in (newer := sampled(step, shift=9.0)):
        one.policy_version = 2
    with pytest.raises(RolloutError, match="version 2"):
        canary.check(newer)


def test_a_probe_asks_for_a_few_short_completions():
    canary, step, backend = canary_of(max_logp_gap=1000.0, canary_samples=2)
    prompts = PromptSampler(Dataset.from_dict({"prompt": ["\x04\x05", "\x06", "\x07"]}), seed=0, shuffle=False)
    canary.probe(prompts, [0, 1, 2])
    assert [sampling.max_tokens for sampling in backend.asked] == [PROBE_TOKENS]
    assert step.metrics.drain()["rollout/logp_gap"] > 0
    canary.probe(prompts, [0, 1, 2])
    assert len(backend.asked) == 1, "this version was compared"
