"""What the models with tools are shown is what they get in training."""

import json
import subprocess
import sys

import pytest

from environments.calculator import calculate
from environments.guessing import NUMBERS, GuessingGame
from grpo_plugin.config.quickstart import QuickstartConfig
from grpo_plugin.environments.formats import hermes
from grpo_plugin.environments.rendering import ChatRenderer
from grpo_plugin.environments.templates import template_problem
from grpo_plugin.quickstart import fingerprint
from grpo_plugin.quickstart.games import Game
from grpo_plugin.quickstart.products import Product
from grpo_plugin.quickstart.tasks import TASKS
from grpo_plugin.quickstart.teach import IGNORED, Demonstrations
from grpo_plugin.quickstart.tokenizer import make_tokenizer


def call(text: str) -> dict:
    [found] = hermes.parse(text, {}).calls
    return found.arguments


def test_the_calculator_gives_the_result_that_is_shown():
    for problem in (Product(47, 38), Product(10, 99)):
        asked, result, answer = problem.worked()
        assert calculate(**call(asked)) == result == problem.answer
        assert answer == f"Answer: {problem.answer}"
    assert Product(47, 38).estimated() == ["Answer: 2000"]


def test_estimates_are_seldom_right():
    problems = [Product(left, right) for left in range(10, 100) for right in range(10, 100)]
    right = sum(problem.estimated() == [f"Answer: {problem.answer}"] for problem in problems)
    assert right / len(problems) < 0.03


def test_the_game_gives_the_hints_that_are_shown():
    """Played well it is always won, at random in five games of nine."""
    games = [Game(left, right) for left in range(10, 37) for right in range(10, 37)]
    assert {game.answer for game in games} == {str(number) for number in NUMBERS}
    for way, share in (("worked", 1.0), ("estimated", 5 / 9)):
        won = 0.0
        for game in games:
            played, world = getattr(game, way)(), GuessingGame()
            world.reset()
            world.secret = int(game.answer)
            for guessed, hint in zip(played[:-1:2], played[1::2], strict=True):
                assert world.guess(**call(guessed)) == hint
            won += world.get_reward()
        assert won / len(games) == pytest.approx(share)


def test_a_game_ends_after_two_guesses_or_when_it_is_won():
    game = GuessingGame()
    assert game.reset(row=3) == "Guess a number from 1 to 3."
    game.secret = 3
    assert [game.guess(1), game.guess(2), game.guess(3)] == ["higher", "higher", "The game is over."]
    assert game.get_reward() == 0.0


@pytest.mark.parametrize("name", ["calculator", "guessing"])
def test_only_what_the_model_writes_is_learnt(name):
    task = TASKS[name]()
    tokenizer, problem = make_tokenizer(task), task.problem(47, 38)
    assert template_problem(ChatRenderer(tokenizer, [tokenizer.eos_token_id])) is None
    rows = Demonstrations(task, tokenizer).batch([(problem.question, problem.worked()), (problem.question, ["Done."])])
    labels = rows["labels"][0]
    written = [f"{part}<|im_end|>" for part in problem.worked()[::2]]
    assert tokenizer.decode(labels[labels != IGNORED]) == "".join(written)
    [schema] = task.schemas
    text = tokenizer.decode(rows["input_ids"][0])
    assert text.startswith(f"<|im_start|>system\n{schema['function']['name']}: {schema['function']['description']}\n")
    assert f"<tool_response>\n{problem.worked()[1]}\n</tool_response><|im_end|>\n<|im_start|>assistant\n" in text


@pytest.mark.parametrize("expression", ["2 ** 9", "len('a')", "1 +", "x", "True", "9" * 300])
def test_a_calculator_refuses_what_is_no_sum(expression):
    with pytest.raises(ValueError, match=r"no arithmetic expression|a calculator knows numbers|at most 200 characters"):
        calculate(expression)


def test_calls_are_json():
    assert json.loads(Product(12, 34).worked()[0].split("\n")[1])["arguments"] == {"expression": "12 * 34"}


def test_a_task_imports_its_own_modules_alone():
    """In a process of its own: a folder `environments` where a run starts hides ours."""
    code = (
        "import sys; sys.modules['environments'] = None\n"
        "from grpo_plugin.quickstart import model\n"
        "print(model.TASKS['addition']().problem(47, 38).answer, 'rewards.arithmetic' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "85 False"


@pytest.mark.parametrize(
    ("task", "module", "others"),
    [
        ("calculator", "environments.calculator", "guessing"),
        ("guessing", "environments.guessing", "addition"),
        ("addition", "grpo_plugin.environments.rendering", None),
    ],
)
def test_a_model_is_made_again_when_what_its_prompts_come_from_has_changed(task, module, others, monkeypatch):
    def code(name):
        return fingerprint.fingerprint(QuickstartConfig(task=name))["code"]

    before, other = code(task), others and code(others)
    read = fingerprint._source
    monkeypatch.setattr(fingerprint, "_source", lambda name: read(name) + b"#" * (name == module))
    assert code(task) != before
    assert others is None or code(others) == other
