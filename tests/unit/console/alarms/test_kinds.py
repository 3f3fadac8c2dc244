"""Each alarm on metrics of steps as `metrics.jsonl` has them, which go wrong at a known place.

These are figures made by hand; whole runs made to raise eight of the ten are in tests/integration/test_training.py.
"""

import pytest

from grpo_plugin.config.alarms import Alarms
from grpo_plugin.config.block import Block
from grpo_plugin.console.alarms.detector import Detector
from grpo_plugin.console.alarms.kinds import KINDS

STEADY = {
    "reward": 0.5,
    "entropy": 0.8,
    "kl": 0.01,
    "kl/old": 0.001,
    "grad_norm": 0.4,
    "groups/mixed": 0.6,
    "groups/all_right": 0.2,
    "completions/clipped_ratio": 0.05,
    "completions/mean_length": 200.0,
    "rollout/logp_gap": 1e-5,
    "time/generate": 5.0,
    "time/train": 5.0,
    "time/sync": 0.5,
}
QUIET = dict.fromkeys(KINDS)


def alarms(rows, **limits):
    """(step, alarm) of the rows; of no kind but those in `limits`."""
    detector = Detector(Alarms.parse("alarms", {"window": 8, **QUIET, **limits}))
    return [alarm for step, row in enumerate(rows, 1) for alarm in detector.observe(row | {"step": step})]


def steady(count=30, **changes):
    return [STEADY | changes for _ in range(count)]


def lines(found):
    return [str(alarm) for alarm in found]


def test_a_steady_run_is_quiet():
    rows = [STEADY | {"reward": 0.3 + 0.01 * step} for step in range(150)]
    detector = Detector(Alarms())
    assert not [alarm for step, row in enumerate(rows, 1) for alarm in detector.observe(row | {"step": step})]


def test_every_kind_has_its_threshold():
    assert set(Alarms.model_fields) == {"window", *KINDS}
    assert issubclass(Alarms, Block)


def test_entropy_collapse():
    # window 8: means over two rows. 0.8 at first; under 0.08 is (0.8 + 0.05) / 2 not, (0.05 + 0.05) / 2 is.
    found = alarms(steady(5) + steady(40, entropy=0.05), entropy=0.1)
    assert lines(found) == [
        "alarm at step 7: entropy 0.05 nats, 6% of the 0.8 before: the policy has collapsed. Try: raise "
        "algorithm.clip_high, lower learning_rate, keep trl.temperature at 1."
    ], "once: it stays where it is"


def test_kl_blow_up_to_the_reference_and_to_the_policy_that_sampled():
    (first, *_) = alarms(steady(5) + steady(20, kl=0.9), kl=0.5)
    assert first.step == 7, "(0.01 + 0.9) / 2 is under 0.5 at step 6"
    assert first.figure == "KL to the reference model 0.9 nats per token, over 0.5"
    assert "kl_coef" in first.remedy
    (first, *_) = alarms(steady(5) + steady(20, **{"kl/old": 0.8}), kl=0.5)
    assert first.figure == "KL to the policy that sampled 0.8 nats per token, over 0.5"


def test_zero_gradient_three_times_in_a_row():
    dead = steady(1, grad_norm=0.0)
    assert not alarms((steady(1) + dead * 2) * 8, zero_gradient=3)
    (first, *_) = alarms(steady(4) + dead * 5, zero_gradient=3)
    assert first.step == 7 and first.figure.startswith("the gradient was 0 in the last 3 logged steps")


def noisy(step):
    return 0.05 if step % 2 else -0.05


def test_a_reward_that_does_not_rise():
    flat = [STEADY | {"reward": 0.4 + noisy(step)} for step in range(60)]
    found = alarms(flat, reward_stuck=20)
    assert [alarm.step for alarm in found] == [20, 40], "after 20 steps, and after another 40 since it goes on"
    assert found[0].figure == "reward 0.400 after 0.400: no rise over 20 logged steps"
    falling = [STEADY | {"reward": 0.9 - 0.01 * step} for step in range(30)]
    assert alarms(falling, reward_stuck=20)
    rising = [STEADY | {"reward": 0.3 + 0.01 * step + noisy(step)} for step in range(60)]
    assert not alarms(rising, reward_stuck=20)


def test_a_reward_that_cannot_rise_any_more_is_not_stuck():
    assert not alarms(steady(60, reward=1.0, **{"groups/all_right": 0.97}), reward_stuck=20)


def test_all_groups_alike_too_hard_or_too_easy():
    (hard, *_) = alarms(steady(4) + steady(9, **{"groups/mixed": 0.0, "groups/all_right": 0.0}), groups_mixed=0.1)
    assert hard.step == 6 and hard.figure == "only 0% of the groups have rewards that differ; 0% are all right"
    assert "easier prompts" in hard.remedy
    (easy, *_) = alarms(steady(4) + steady(9, **{"groups/mixed": 0.05, "groups/all_right": 0.95}), groups_mixed=0.1)
    assert "too easy" in easy.remedy


def test_a_rising_share_of_truncated_completions():
    rows = [STEADY | {"completions/clipped_ratio": 0.05 + 0.02 * step} for step in range(30)]
    found = alarms(rows, truncated=0.19)
    # at first (0.05 + 0.07) / 2 = 0.06; rows 11 and 12 have 0.26, over 0.06 + 0.19; rows 21 and 22 have 0.46
    assert [(alarm.step, alarm.figure) for alarm in found] == [
        (12, "26% of the completions are cut off, after 6% before"),
        (22, "46% of the completions are cut off, after 26% before"),
    ]


def test_lengths_that_grow_and_that_collapse():
    name = "completions/mean_length"
    (grown,) = alarms(steady(4) + steady(20, **{name: 450.0}), length=2.0)
    assert (grown.step, grown.figure) == (6, "mean length 450 tokens, after 200 before")
    assert "long answers" in grown.remedy
    (fallen,) = alarms(steady(4) + steady(20, **{name: 3.0}), length=2.0)
    assert "short or empty answers" in fallen.remedy
    assert alarms(steady(4) + steady(20, **{name: 0.0}), length=2.0), "empty completions"


def test_a_drifting_gap_of_log_probabilities():
    assert not alarms(steady(4) + steady(20, **{"rollout/logp_gap": 9e-5}), logp_gap=5.0), "that is rounding"
    (drift,) = alarms(steady(4) + steady(20, **{"rollout/logp_gap": 0.03}), logp_gap=5.0)
    assert (drift.step, drift.figure) == (5, "vLLM and the trainer differ by 0.015 nats per token, after 1e-05 before")


def test_reward_functions_that_fail():
    failing = STEADY | {"rewards/tests/failed": 0.04}
    (first,) = alarms([STEADY, failing, STEADY], reward_errors=0.01)
    assert (first.step, first.figure) == (2, "the reward function tests could not score 4.0% of the completions")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ({"time/generate": 60.0, "time/train": 1.0}, "the trainer waits for vLLM for 98% of a step of 62 s"),
        ({"time/generate": 1.0, "time/train": 60.0}, "vLLM waits for the trainer for 98% of a step of 62 s"),
    ],
)
def test_who_waits_for_whom(seconds, words):
    (first,) = alarms(steady(3, **seconds), idle=0.9)
    assert (first.step, first.figure) == (2, words)
    assert not alarms(steady(9, **{"time/sync": None, **seconds}), idle=0.9), "no server, nobody waits"
    brief = {name: value / 100 for name, value in seconds.items()}
    assert not alarms(steady(9, **brief), idle=0.9)


def test_the_seconds_of_a_step_where_only_each_tenth_is_logged():
    detector = Detector(Alarms.parse("alarms", {"window": 8, **QUIET, "idle": 0.9}))
    rows = [STEADY | {"time/generate": 600.0, "step": step} for step in (1, 10, 20, 30)]
    rows[0]["time/generate"] = 60.0  # of one step
    found = [alarm for row in rows for alarm in detector.observe(row)]
    assert [(alarm.step, alarm.figure) for alarm in found] == [
        (10, "the trainer waits for vLLM for 98% of a step of 67 s")
    ], "(60 + 600 + 2 * 5.5) / 10"
    detector = Detector(Alarms.parse("alarms", {"window": 8, **QUIET, "idle": 0.9}))
    brief = {"time/generate": 4.4, "time/train": 0.1, "time/sync": 0.1}
    assert not [alarm for row in rows for alarm in detector.observe(row | brief)], "2 * 4.6 / 10 are under a second"


def test_metrics_that_a_run_lacks_raise_no_alarm():
    detector = Detector(Alarms())
    assert not [alarm for step in range(1, 120) for alarm in detector.observe({"step": step, "loss": 0.1})]
