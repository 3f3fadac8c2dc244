from pathlib import Path

import pytest
import yaml

from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe import inheritance, read
from grpo_plugin.recipe.inheritance import with_base

PLUGINS = ["grpo_plugin.RewardPlugin"]


def write(path: Path, **values) -> Path:
    path.write_text(yaml.safe_dump(values))
    return path


def mistake(values, folder: Path) -> str:
    with pytest.raises(RecipeError) as caught:
        with_base(values, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_blocks_merge_key_by_key_and_everything_else_is_replaced(tmp_path):
    write(tmp_path / "b.yaml", seed=1, trl={"beta": 0.1, "num_generations": 5}, prompts={"train": ["a", "b"]})
    own = {"base": "b.yaml", "seed": 2, "trl": {"beta": 0.2}, "prompts": {"train": ["c"]}}
    assert with_base(own, tmp_path) == {
        "seed": 2,
        "trl": {"beta": 0.2, "num_generations": 5},
        "prompts": {"train": ["c"]},
    }


def test_null_takes_a_key_of_the_base_away(tmp_path):
    write(tmp_path / "b.yaml", validation={"every": 5}, trl={"beta": 0.1, "top_p": 0.9})
    merged = with_base({"base": "b.yaml", "validation": None, "trl": {"top_p": None}}, tmp_path)
    assert merged == {"validation": None, "trl": {"beta": 0.1, "top_p": None}}


def test_a_base_may_have_a_base_which_is_found_beside_it(tmp_path):
    (tmp_path / "shared").mkdir()
    write(tmp_path / "shared" / "a.yaml", one=1, two=1, three=1)
    write(tmp_path / "shared" / "b.yaml", base="a.yaml", two=2, three=2)
    assert with_base({"base": "shared/b.yaml", "three": 3}, tmp_path) == {"one": 1, "two": 2, "three": 3}


def test_of_several_bases_the_later_wins(tmp_path):
    write(tmp_path / "a.yaml", one=1, two=1)
    write(tmp_path / "b.yaml", two=2)
    assert with_base({"base": ["a.yaml", "b.yaml"]}, tmp_path) == {"one": 1, "two": 2}


def test_a_base_is_also_looked_for_in_the_working_directory(tmp_path, monkeypatch):
    write(tmp_path / "b.yaml", seed=7)
    monkeypatch.chdir(tmp_path)
    assert with_base({"base": "b.yaml"}, Path("/nowhere")) == {"seed": 7}


def test_without_a_base_nothing_changes(tmp_path):
    assert with_base({"seed": 1, "base": None}, tmp_path) == {"seed": 1}


@pytest.mark.parametrize(
    ("base", "content", "expected"),
    [
        ("no.yaml", None, "base: 'no.yaml' was not found in"),
        ([3], None, "base: expected the name of a file, or a list of names, got 3"),
        ("b.yaml", "- 1\n", "b.yaml': expected keys and values, got list"),
        ("b.yaml", "a: [", "b.yaml': not valid YAML: "),
        ("b.yaml", "base: b.yaml\n", "base: 'b.yaml' is its own base"),
        ("b.yaml", "plugins: [a.Plugin]\n", "plugins: 'a.Plugin' is only in the base"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, base, content, expected):
    if isinstance(content, str):
        (tmp_path / "b.yaml").write_text(content)
    assert expected in mistake({"base": base}, tmp_path)


def test_the_command_line_wins_over_recipe_and_base(tmp_path):
    write(tmp_path / "b.yaml", trl={"beta": 0.1, "top_p": 0.9}, learning_rate=1)
    recipe = write(tmp_path / "r.yaml", base="b.yaml", plugins=PLUGINS, trl={"beta": 0.2})
    values = read(recipe, {"trl.beta": 0.3, "learning_rate": 2})
    assert values["trl"] == {"beta": 0.3, "top_p": 0.9}
    assert values["learning_rate"] == 2
    assert "base" not in values


def test_axolotls_configuration_is_merged_in_place_once(tmp_path):
    """As a training process sees it: overrides are in the configuration already, and `register` may come twice."""
    from axolotl.utils.dict import DictDefault

    write(tmp_path / "b.yaml", plugins=PLUGINS, trl={"beta": 0.1, "top_p": 0.9})
    cfg = DictDefault(
        {"base": "b.yaml", "plugins": PLUGINS, "trl": {"beta": 0.3}, "axolotl_config_path": str(tmp_path / "r.yaml")}
    )
    for _ in range(2):
        inheritance.apply(cfg)
        assert cfg.trl.to_dict() == {"beta": 0.3, "top_p": 0.9}
        assert cfg.plugins == PLUGINS
        assert "base" not in cfg
