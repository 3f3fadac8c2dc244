"""A template that computes without end, or fills the memory, is refused with its row; others are as they were."""

import os
import signal
import threading
from pathlib import Path

import pytest

from grpo_plugin.errors import DataError, RecipeError
from grpo_plugin.prompts import template_limit
from grpo_plugin.prompts.lengths import ChatCounter
from grpo_plugin.prompts.template_limit import LimitedRenderer, TooMuch, limited
from grpo_plugin.trainer.terminators import terminators

from .vocabularies import qwen, wrapped

ENDLESS = {
    "a power": "{{ 10**(10**8) }}",  # computed when the template is compiled
    "a power of a number of the row": "{% set n = 8 %}{{ 10**(10**n) }}",
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
}
LARGE = "{{ 'a'.center(4000000000)|length }}"


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(template_limit, "SECONDS", 2.0)


def chat_model(template: str):
    tokenizer = wrapped(qwen())
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize("template", ENDLESS.values(), ids=ENDLESS)
def test_a_chat_template_without_end_is_refused_with_its_row(jsonl, prompts, short, template):
    jsonl([{"prompt": "a"}, {"prompt": "b"}])
    fine = "{{ messages[0]['content'] }}"
    row = 1 if template == ENDLESS["a power"] else 2
    with pytest.raises(
        DataError, match=rf"the model's chat template refuses \(it takes longer than 2 s\) in row {row}"
    ):
        prompts(tokenizer=chat_model(f"{fine}{{% if messages[0]['content'] == 'b' %}}{template}{{% endif %}}"))


def test_memory_is_limited(jsonl, prompts):
    jsonl([{"prompt": "a"}])
    with pytest.raises(DataError, match=r"refuses \(it takes more than 1 GiB of memory\) in row 1"):
        prompts(tokenizer=chat_model(LARGE))


@pytest.mark.parametrize("template", [*ENDLESS.values(), LARGE], ids=[*ENDLESS, "memory"])
def test_a_template_of_the_recipe_is_tried_first(jsonl, prompts, short, template):
    jsonl([{"prompt": "a"}])
    with pytest.raises(RecipeError, match=r"prompts\.template: the first row cannot be rendered: it takes "):
        prompts(template=template)


def test_a_template_without_end_ends_the_run_before_its_first_step(short):
    model = type("Model", (), {"config": None})()
    with pytest.raises(RecipeError, match="the model's chat template cannot be rendered: it takes longer than 2 s"):
        terminators(chat_model(ENDLESS["a power"]), model)


def test_texts_and_errors_come_in_order_and_the_process_ends():
    def render(item: int) -> str:
        if item == 3:
            raise ZeroDivisionError("three\nmore")
        return f"{item} in {os.getpid()}"

    renderer = LimitedRenderer(lambda: render)
    found = renderer(range(5))
    pid = int(found[0].split()[-1])
    assert pid != os.getpid() and [str(text) for text in found] == [
        *[f"{item} in {pid}" for item in range(3)],
        "three",
        f"4 in {pid}",
    ]
    assert renderer([7]) == [f"7 in {pid}"]
    renderer.close()
    assert not Path(f"/proc/{pid}").exists()
    assert renderer([8]) != [f"8 in {pid}"]


def process_of(renderer: LimitedRenderer) -> int:
    (text,) = renderer(["pid"])
    return int(text)


def numbers_and_pid(item: object) -> str:
    return str(os.getpid() if item == "pid" else item)


def test_a_process_that_was_killed_between_two_batches_is_forked_anew():
    """What it had rendered of the batch before counts for nothing."""
    renderer = LimitedRenderer(lambda: numbers_and_pid)
    pid = process_of(renderer)
    assert len(renderer(range(1000))) == 1000
    os.kill(pid, signal.SIGKILL)
    assert renderer(range(10)) == [str(number) for number in range(10)]
    assert process_of(renderer) != pid
    renderer.close()


def test_a_process_that_ended_with_its_thread_is_forked_anew():
    """The kernel's signal at the parent's death comes with the end of the thread that forked."""
    renderer, pids = LimitedRenderer(lambda: numbers_and_pid), []
    thread = threading.Thread(target=lambda: pids.append(process_of(renderer)))
    thread.start()
    thread.join()
    os.waitid(os.P_PID, pids[0], os.WEXITED | os.WNOWAIT)
    assert renderer(range(3)) == ["0", "1", "2"]
    renderer.close()


def test_the_limit_is_for_one_item(monkeypatch):
    """It begins anew with each; the connection is a stand-in on which nothing comes before the sixth."""
    monkeypatch.setattr(template_limit, "SECONDS", 0.0)
    renderer = LimitedRenderer(lambda: numbers_and_pid)

    class Connection:
        def poll(self, seconds: float) -> bool:
            renderer._at.value += 1
            return renderer._at.value == 5

    renderer._await(Connection())
    assert renderer._at.value == 5
    Connection.poll = lambda self, seconds: False
    with pytest.raises(TooMuch, match="longer than 0 s"):
        renderer._await(Connection())


def test_a_process_that_ends_is_too_much():
    with pytest.raises(TooMuch, match="the process that renders it ended, most often for memory"):
        limited(lambda: os._exit(9))


def test_a_large_batch_is_counted_as_before():
    counter = ChatCounter(wrapped(qwen()))
    chats = [[{"role": "user", "content": "word " * (number % 50)}] for number in range(3000)]
    rendered = counter.render(chats)
    assert len(rendered) == 3000 and counter.count(chats[:40]) == counter.count_rendered(rendered[:40])
    counter.close()
