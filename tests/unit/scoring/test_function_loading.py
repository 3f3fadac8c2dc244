import sys
from pathlib import Path

import pytest

from grpo_plugin.errors import RewardError
from grpo_plugin.scoring.function_loading import model_path, resolve
from tests.unit.scoring.scored import FOLDER


def test_a_file_beside_the_recipe_or_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("def reward(completions): return [1.0] * len(completions)\n")
    assert resolve("mine.py:reward", tmp_path)(["a"]) == [1.0]
    monkeypatch.chdir(tmp_path)
    assert resolve("mine.py:reward", FOLDER)(["a", "b"]) == [1.0, 1.0]


def test_dotted_paths_and_attributes() -> None:
    from rewards.math import accuracy

    assert resolve("rewards.math.accuracy", FOLDER) is accuracy
    assert resolve("grading.length", FOLDER)(["abc"]) == [3.0]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("rewards.maths.accuracy", "did you mean 'math'?"),
        ("rewards.math.acuracy", "did you mean 'accuracy'?"),
        ("grading.py:lenght", "did you mean 'length'?"),
        ("absent.py:length", "names no file"),
        ("absent_package.module.name", "there is no module 'absent_package'"),
        ("grading.py:not_callable", "is a int, not a function"),
        ("accuracy", "is no reward function"),
    ],
)
def test_what_cannot_be_found_is_an_error_with_a_remedy(spec: str, words: str) -> None:
    with pytest.raises(RewardError, match="rewards: ") as error:
        resolve(spec, FOLDER)
    assert words in str(error.value)


def test_a_failed_import_inside_a_module_is_said_and_never_a_model(tmp_path: Path) -> None:
    (tmp_path / "needy_rewards.py").write_text("import a_package_nobody_has\n")
    for spec in ("needy_rewards.reward", "needy_rewards.py:reward"):
        with pytest.raises(RewardError, match="No module named 'a_package_nobody_has'"):
            resolve(spec, tmp_path)
        assert model_path(spec, tmp_path) is None
    assert not any(name.startswith("grpo_reward_file") and "needy" in name for name in sys.modules)


def test_a_module_with_a_fault_is_not_a_missing_module(tmp_path: Path) -> None:
    (tmp_path / "faulty_rewards.py").write_text("1 / 0\n")
    with pytest.raises(RewardError, match="ZeroDivisionError"):
        resolve("faulty_rewards.reward", tmp_path)


def test_what_names_a_model(tmp_path: Path) -> None:
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge" / "config.json").write_text("{}")
    assert model_path("judge", tmp_path) == str(tmp_path / "judge")
    assert model_path("user/name", tmp_path) == "user/name"
    for spec in ("rewards.math.accuracy", "rewards/math.py:accuracy", "rewards/math.py", "./x", "a/b/c"):
        assert model_path(spec, tmp_path) is None
