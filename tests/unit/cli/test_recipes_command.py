import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from grpo_plugin.cli.main import grpo
from grpo_plugin.cli.recipes import copied, recipes_folder
from grpo_plugin.recipe import parse, read

ROOT = Path(__file__).parents[3]


def invoke(*words):
    return CliRunner().invoke(grpo, ["recipes", *map(str, words)])


def test_every_recipe_is_listed_with_one_line():
    lines = invoke().output.splitlines()
    assert [line.split()[0] for line in lines] == sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
    (quickstart,) = [line for line in lines if line.startswith("quickstart ")]
    assert quickstart.split(maxsplit=1)[1].startswith("A small model learns to show its working: two-digit addition")
    assert len({line.index(line.split(maxsplit=1)[1]) for line in lines}) == 1, "the second column is aligned"


@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "recipes").glob("*.yaml"))])
def test_a_copy_means_the_same_from_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    original = read(f"recipes/{name}.yaml")
    result = invoke(name, "--out", tmp_path / "mine")
    assert result.exit_code == 0, result.output
    assert set(result.output.splitlines()) == {str(path) for path in (tmp_path / "mine").rglob("*.*")}
    monkeypatch.chdir(tmp_path)
    copy = read(f"mine/{name}.yaml")
    template = original.get("prompts", {}).get("template")
    if template and "{{" not in template:
        assert (tmp_path / "mine" / copy["prompts"]["template"]).read_text() == (ROOT / template).read_text()
    for values in (original, copy):
        values.get("prompts", {}).pop("template", None)
        values.pop("axolotl_config_path")
    assert copy == original
    parse({**copy, "axolotl_config_path": f"mine/{name}.yaml"})


def test_the_command_in_a_copys_header_names_the_copy(tmp_path):
    text = copied(recipes_folder(), "math12k", Path("my/recipes"))["math12k.yaml"]
    assert "\n#     axolotl train --num-processes=7 my/recipes/math12k.yaml\n" in text
    assert "\nbase: [shared/easyr1.yaml, shared/fsdp.yaml]\n" in text


def test_nothing_is_replaced_without_force(tmp_path):
    invoke("gsm8k", "--out", tmp_path)
    assert invoke("gsm8k", "--out", tmp_path).exit_code == 0, "the same content is no loss"
    (tmp_path / "gsm8k.yaml").write_text("mine")
    (tmp_path / "prompts" / "gsm8k.jinja").unlink()
    result = invoke("gsm8k", "--out", tmp_path)
    assert result.exit_code == 2
    assert f"'{tmp_path / 'gsm8k.yaml'}' would be replaced; name another folder, or add --force." in result.output
    assert (tmp_path / "gsm8k.yaml").read_text() == "mine"
    assert not (tmp_path / "prompts" / "gsm8k.jinja").exists(), "all files are copied, or none"
    assert invoke("gsm8k", "--out", tmp_path, "--force").exit_code == 0
    assert "base_model" in (tmp_path / "gsm8k.yaml").read_text()


def test_a_recipe_that_is_not_there_and_a_folder_that_is_not_named():
    result = invoke("gsm8", "--out", "there")
    assert (result.exit_code, result.output) == (2, "error: no recipe 'gsm8'; did you mean 'gsm8k'?\n")
    assert invoke("gsm8k").output.startswith("error: --out: missing; ")


@pytest.mark.slow
def test_a_wheel_ships_the_recipes_and_their_templates(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True, timeout=250)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    environ = {**os.environ, "PYTHONPATH": str(installed)}
    code = "import grpo_plugin.cli.main as main; print(main.__file__); main.grpo()"
    words = ["recipes", "geometry3k_dapo", "--out", "mine"]
    run = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    module, *written = run.stdout.splitlines()
    assert module.startswith(str(installed)), "the wheel's files answer, not this repository's"
    assert {Path(path).name for path in written} == {
        "geometry3k_dapo.yaml", "geometry3k.yaml", "easyr1.yaml", "images.yaml", "fsdp.yaml", "math.jinja"
    }  # fmt: skip
    assert (tmp_path / "mine" / "prompts" / "math.jinja").read_bytes() == (
        ROOT / "recipes" / "prompts" / "math.jinja"
    ).read_bytes()
