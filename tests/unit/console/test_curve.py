import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from grpo_plugin.console.curve import GREEDY, OTHERS, SAMPLED, TRAIN, draw, smooth
from grpo_plugin.validation.accuracy import Accuracy, Evaluation

HISTORY = [{"step": step, "reward": step / 20, "loss": 0.1} for step in range(1, 21)] + [
    {"step": 20, "train_runtime": 9.0},
    {"step": 20, "reward": None},
]


def evaluations(greedy=0.5, pass_at=()):
    return [Evaluation(step, "accuracy", Accuracy(9, 0.4, greedy, dict(pass_at)), {}, {}) for step in (0, 10, 20)]


def drawn(path):
    """Which of the colours are in the picture, and its size."""
    picture = imread(path)[:, :, :3]
    colors = {"train": TRAIN, "sampled": SAMPLED, "greedy": GREEDY, "pass@8": OTHERS[2]}
    found = {
        name for name, color in colors.items() if (np.abs(picture - np.array(to_rgb(color))).max(2) < 0.01).sum() > 50
    }
    return found, picture.shape[:2]


def test_reward_and_accuracy_are_drawn_at_a_readable_size(tmp_path):
    draw(HISTORY, evaluations(pass_at={1: 0.4, 8: 0.9}), tmp_path / "curve.png", "quickstart")
    found, (height, width) = drawn(tmp_path / "curve.png")
    assert found == {"train", "sampled", "greedy", "pass@8"}
    assert width >= 1000
    assert height >= 700
    assert [entry.name for entry in tmp_path.iterdir()] == ["curve.png"]


def test_what_was_not_measured_is_not_drawn(tmp_path):
    draw([], evaluations(greedy=None), tmp_path / "curve.png", "validation alone")
    assert drawn(tmp_path / "curve.png")[0] == {"sampled"}
    draw(HISTORY, [], tmp_path / "curve.png", "training alone")
    assert drawn(tmp_path / "curve.png")[0] == {"train"}


def test_a_run_without_figures_has_no_curve(tmp_path):
    draw([{"step": 1, "train_runtime": 2.0}], [], tmp_path / "curve.png", "nothing")
    assert list(tmp_path.iterdir()) == []


def test_smoothing_has_no_bias_at_the_start():
    assert smooth([2.0, 2.0, 2.0], 5) == pytest.approx([2.0, 2.0, 2.0])
    # With a span of 3 each older value weighs half of the next.
    assert smooth([0.0, 1.0, 1.0], 3) == pytest.approx([0.0, 1 / 1.5, 1.5 / 1.75])
    assert smooth([1.0, 5.0], 1) == [1.0, 5.0]


def test_matplotlib_is_loaded_only_to_draw():
    check = "import sys, grpo_plugin.console.curve; print({'matplotlib', 'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"
