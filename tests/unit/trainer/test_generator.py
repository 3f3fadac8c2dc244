"""How completions of training, of validation and of greedy baselines are sampled from the same recipe."""

from grpo_plugin.rollout.client.sampling import Sampling
from grpo_plugin.trainer.generator import with_temperature

TRAINING = Sampling(max_tokens=8, temperature=0.9, top_p=0.8, top_k=5, min_p=0.1, logit_bias={3: -100.0})


def test_validation_samples_as_training_does_but_for_what_it_names():
    assert with_temperature(TRAINING, 0.9) == TRAINING
    other = with_temperature(TRAINING, 0.6, 0.95)
    assert (other.temperature, other.top_p, other.top_k, other.min_p) == (0.6, 0.95, 5, 0.1)
    assert other.logit_bias == TRAINING.logit_bias


def test_greedy_is_not_truncated():
    greedy = with_temperature(TRAINING, 0.0, 0.95)
    assert (greedy.temperature, greedy.top_p, greedy.top_k, greedy.min_p) == (0.0, 1.0, 0, None)
    assert greedy.logit_bias == TRAINING.logit_bias
