import math

import pytest

from grpo_plugin.validation.bootstrap import standard_errors


def test_one_value_per_prompt_has_the_error_of_a_mean():
    """√(p (1 - p) / P) for P prompts of which the share p is right."""
    values = [[1.0]] * 30 + [[0.0]] * 70
    assert standard_errors({"greedy": values})["greedy"] == pytest.approx(math.sqrt(0.3 * 0.7 / 100), rel=0.06)


def test_samples_of_one_prompt_do_not_count_as_independent():
    alike = standard_errors({"sampled": [[1.0] * 32] * 15 + [[0.0] * 32] * 15})["sampled"]
    assert alike == pytest.approx(math.sqrt(0.25 / 30), rel=0.06)
    mixed = standard_errors({"sampled": [[1.0, 0.0] * 16] * 30})["sampled"]
    assert mixed == 0.0


def test_missing_values_are_left_out():
    errors = standard_errors({"sampled": [[1.0, None], [None, None], [0.0, 0.0]], "pass@8": [[None], [None], [1.0]]})
    assert errors["sampled"] > 0 and math.isfinite(errors["sampled"])
    assert "pass@8" not in errors, "one prompt has no spread"
    assert standard_errors({"sampled": [[1.0]]}) == standard_errors({}) == {}


def test_the_error_is_the_same_each_time():
    values = {"sampled": [[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]]}
    assert standard_errors(values) == standard_errors(values)
