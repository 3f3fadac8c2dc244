"""One episode, fed by a test in place of a model; tokenizer, chat templates and TRL's way of rendering are real."""

import asyncio
from types import SimpleNamespace

import pytest
from trl import GRPOTrainer

from grpo_plugin.config.environments import EnvironmentsConfig
from grpo_plugin.environments.limits import Limits
from grpo_plugin.environments.loading import Environments
from grpo_plugin.errors import EpisodeError
from tests.unit.environments import worlds
from tests.unit.environments.chat import call, renderer, tokenizer, turn

WORLDS = "tests.unit.environments.worlds"
END = "<|im_end|>"
ROW = {"prompt": [{"role": "user", "content": "Count to 3."}], "row": 7}


def make(tmp_path, row=ROW, limits=None, template="qwen2_5", **config):
    config = {"factory": f"{WORLDS}.Counter"} | config
    environments = Environments.load(EnvironmentsConfig.parse("environments", config), tmp_path)
    rendering = environments.rendering(renderer(template), tmp_path)
    return environments, environments.episode(row, rendering, limits or Limits(1000), "row 7")


def play(episode, *turns):
    """Begin the episode and give it the turns, as texts; it must want every one of them."""

    async def run():
        await episode.begin()
        for text in turns:
            assert not episode.done and episode.budget > 0
            await episode.add_turn(turn(text) if isinstance(text, str) else text)

    asyncio.run(run())
    return episode


def trl_suffix(template, messages, chat_template=None):
    """The tokens that TRL appends for results of tools."""
    made = tokenizer(template)
    trainer = SimpleNamespace(
        processing_class=made, _tokenizer=made, _is_vlm=False, chat_template=chat_template, chat_template_kwargs={}
    )
    return GRPOTrainer._get_tool_suffix_ids(trainer, messages)


def test_a_call_is_answered_and_the_model_goes_on(tmp_path):
    _, episode = make(tmp_path)
    first, second = call("increment", '{"step": 3}') + END, "That is 3." + END
    play(episode, first, second)

    answer = {"role": "tool", "name": "increment", "content": "3"}
    sampled, result, last = turn(first).token_ids, trl_suffix("qwen2_5", [answer]), turn(second).token_ids
    assert tokenizer().decode(result) == (
        "\n<|im_start|>user\n<tool_response>\n3\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    )
    assert episode.completion_ids == [*sampled, *result, *last]
    assert episode.token_ids == episode.prompt_ids + episode.completion_ids
    assert episode.sampled_mask == [True] * len(sampled) + [False] * len(result) + [True] * len(last)
    assert episode.logps == [-0.5] * len(sampled) + [0.0] * len(result) + [-0.5] * len(last)
    assert episode.versions == [3] * len(episode.completion_ids)
    called = {"type": "function", "function": {"name": "increment", "arguments": {"step": 3}}}
    assert episode.messages == [
        {"role": "assistant", "content": "", "tool_calls": [called]},
        answer,
        {"role": "assistant", "content": "That is 3."},
    ]
    assert (episode.done, episode.budget, episode.finish_reason) == (True, 0, "stop")
    assert (episode.turns, episode.tool_calls, episode.tool_failures) == (2, 1, 0)
    assert episode.environment.counter == 3


def test_the_whole_episode_is_what_the_template_renders_of_its_messages(tmp_path):
    _, episode = make(tmp_path)
    play(episode, call("increment", '{"step": 3}') + END, call("increment", '{"step": 2}') + END, "5" + END)
    rendered = tokenizer().apply_chat_template(
        episode.prompt + episode.messages, tools=episode._environment.schemas, tokenize=True, return_dict=False
    )
    assert episode.token_ids == rendered[:-1], "all but the newline that the template writes behind the last turn"


def test_what_the_model_wrote_is_never_tokenized_again(tmp_path):
    """The same text in other tokens than the tokenizer would choose."""
    _, episode = make(tmp_path)
    made = turn(call("increment", '{"step": 3}') + END)
    bytewise = [
        token
        for piece in made.token_ids
        for token in (
            [piece]
            if piece >= 256 and tokenizer().convert_ids_to_tokens(piece) in tokenizer().get_added_vocab()
            else tokenizer().convert_tokens_to_ids(list(tokenizer().convert_ids_to_tokens(piece)))
        )
    ]
    assert bytewise != made.token_ids and tokenizer().decode(bytewise) == tokenizer().decode(made.token_ids)
    made.token_ids[:] = bytewise
    made.logps[:] = [-0.5] * len(bytewise)
    play(episode, made, "3" + END)
    assert episode.completion_ids[: len(bytewise)] == bytewise
    assert episode.environment.counter == 3


@pytest.mark.parametrize(("ending", "added"), [(END, ""), ("<|endoftext|>", ""), ("", END)])
def test_an_end_of_turn_that_the_model_did_not_write_is_the_template_s(tmp_path, ending, added):
    _, episode = make(tmp_path)
    written = call("increment", '{"step": 3}') + ending
    play(episode, written)
    text = tokenizer().decode(episode.completion_ids)
    assert text.startswith(f"{written}{added}\n<|im_start|>user\n<tool_response>\n3\n")
    assert sum(episode.sampled_mask) == len(turn(written).token_ids)


def test_reset_gets_the_row_and_adds_to_the_last_user_message(tmp_path):
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Go."}]
    row = {"prompt": prompt, "observation": " You see 4.", "answer": "4", "environment": "here"}
    _, episode = make(tmp_path, row)
    play(episode)
    assert episode.environment.columns == row
    assert [message["content"] for message in episode.prompt] == ["Be brief.", "Go. You see 4."]
    assert prompt[1]["content"] == "Go.", "the row is left as it is"
    assert "Go. You see 4." in tokenizer().decode(episode.prompt_ids)
    assert '"name": "increment"' in tokenizer().decode(episode.prompt_ids)


def test_reset_makes_the_prompt_of_a_row_without_one(tmp_path):
    _, episode = make(tmp_path, {"observation": "Count."})
    play(episode)
    assert episode.prompt == [{"role": "user", "content": "Count."}]


def test_the_column_picks_the_environment_and_reset_gets_what_it_names(tmp_path):
    row = {"prompt": [{"role": "user", "content": "Go."}], "answer": "4", "row": 1, "environment": "judged"}
    factory = {"judged": f"{WORLDS}.Judged", "plain": f"{WORLDS}.Counter"}
    environments, episode = make(tmp_path, row, factory=factory)
    play(episode)
    assert episode.environment.answer == "4"
    assert episode.prompt[0]["content"] == "Go. Look.", "as text, for a template of text"
    other = environments.episode(row | {"environment": "plain"}, _rendering(environments, tmp_path), Limits(9))
    play(other)
    assert other.environment.columns == {key: row[key] for key in ("prompt", "answer", "row")}
    with pytest.raises(EpisodeError, match=r"row 1 has 'plane' in its column 'environment'; did you mean 'plain'\?"):
        environments.of(row | {"environment": "plane"}, "row 1")


def _rendering(environments, folder):
    return environments.rendering(renderer(), folder)


def test_tools_without_an_environment_sync_and_async(tmp_path):
    tools = [f"{WORLDS}.multiply", f"{WORLDS}.divide"]
    _, episode = make(tmp_path, factory=None, tools=tools)
    both = call("divide", '{"a": 1, "b": 4}') + "\n" + call("multiply", '{"a": 2, "b": 4}')
    play(episode, f"I compute.\n{both}{END}", "8" + END)
    assert episode.environment is None
    assert [(message["name"], message["content"]) for message in episode.messages[1:3]] == [
        ("divide", "0.25"),
        ("multiply", "8"),
    ]
    assert episode.messages[0]["content"] == "I compute."
    result = trl_suffix("qwen2_5", episode.messages[1:3])
    begin = episode.sampled_mask.index(False)
    assert episode.completion_ids[begin : begin + len(result)] == result


def test_blocks_of_text_become_text_for_a_text_template(tmp_path):
    _, episode = make(tmp_path)
    play(episode, call("fetch", '{"key": "this"}') + END)
    assert episode.messages[1] == {"role": "tool", "name": "fetch", "content": "this is 0"}


@pytest.mark.parametrize(
    ("text", "kind", "content"),
    [
        ("<tool_call>\n{oops\n</tool_call>", "malformed", "Malformed tool call: the call is not valid JSON"),
        ('<tool_call>{"arguments": {}}</tool_call>', "malformed", "the call has no name"),
        (call("decrement", "{}"), "unknown", "Tool decrement not found. There are: fetch, increment."),
        (call("_hidden", "{}"), "unknown", "Tool _hidden not found."),
        (call("reset", "{}"), "unknown", "Tool reset not found."),
        (call("close", "{}"), "unknown", "Tool close not found."),
        (call("increment", '{"by": 1}'), "arguments", "increment(): "),
        (call("increment", '{"step": "far"}'), "exception", "unsupported operand"),
    ],
)
def test_a_failed_call_is_answered_and_counted(tmp_path, text, kind, content):
    _, episode = make(tmp_path)
    play(episode, text + END, "Sorry." + END)
    assert content in episode.messages[1]["content"] and episode.messages[1]["content"].startswith("{'error': ")
    assert (dict(episode.failures), episode.tool_calls, episode.tool_failures) == ({kind: 1}, 1, 1)
    assert episode.messages[-1]["content"] == "Sorry."


def test_each_call_of_a_turn_is_answered_in_its_place(tmp_path):
    _, episode = make(tmp_path)
    play(episode, call("increment", '{"step": 1}') + call("gone", "{}") + call("increment", '{"step": 1}') + END)
    assert [message["content"] for message in episode.messages[1:]][::2] == ["1", "2"]
    assert dict(episode.failures) == {"unknown": 1} and episode.tool_calls == 3


def test_the_budget_is_exact(tmp_path):
    """For every limit around the length of a whole episode."""
    first, second = call("increment", '{"step": 3}') + END, "That is 3." + END
    _, whole = make(tmp_path)
    play(whole, first, second)
    written = len(turn(first).token_ids)
    answered = written + whole.sampled_mask.count(False)
    for limit in range(1, len(whole.completion_ids) + 2):
        _, episode = make(tmp_path, limits=Limits(limit))
        play(episode, *([first] if limit <= answered else [first, second]))
        assert episode.done and len(episode.completion_ids) <= limit, limit
        kept = limit if limit < written else written if limit < answered else limit
        assert episode.completion_ids == whole.completion_ids[:kept], limit
        assert len(episode.sampled_mask) == len(episode.logps) == len(episode.versions) == len(episode.completion_ids)
        assert episode.finish_reason == ("stop" if limit >= len(whole.completion_ids) else "length"), limit
        messages = 1 if limit < answered else 2 if limit == answered else 3
        assert len(episode.messages) == messages, limit


def test_an_unfinished_turn_runs_no_tool(tmp_path):
    _, episode = make(tmp_path, max_turn_tokens=100)
    play(episode, turn(call("increment", '{"step": 3}'), "length"))
    assert (episode.finish_reason, episode.tool_calls, episode.environment.counter) == ("length", 0, 0)


def test_a_turn_has_a_budget_of_its_own(tmp_path):
    _, episode = make(tmp_path, max_turn_tokens=30)
    asyncio.run(episode.begin())
    assert episode.budget == 30
    _, episode = make(tmp_path, max_turn_tokens=30, limits=Limits(20))
    asyncio.run(episode.begin())
    assert episode.budget == 20


def test_the_model_s_length_is_a_limit_too(tmp_path):
    _, episode = make(tmp_path)
    asyncio.run(episode.begin())
    prompt = len(episode.prompt_ids)
    _, short = make(tmp_path, limits=Limits(1000, model_tokens=prompt + 12))
    asyncio.run(short.begin())
    assert short.budget == 12
    _, none = make(tmp_path, limits=Limits(1000, model_tokens=prompt))
    with pytest.raises(EpisodeError, match=rf"the prompt of row 7 has {prompt} tokens .* the model takes {prompt};"):
        asyncio.run(none.begin())


def test_turns_have_a_limit(tmp_path):
    _, episode = make(tmp_path, max_turns=2)
    step = call("increment", '{"step": 1}') + END
    play(episode, step, step)
    assert (episode.done, episode.out_of_turns, episode.finish_reason) == (True, True, "stop")
    assert (episode.turns, episode.tool_calls, episode.environment.counter) == (2, 1, 1)


def test_without_log_probabilities_there_are_none(tmp_path):
    _, episode = make(tmp_path)
    made = turn(call("increment", '{"step": 1}') + END)
    object.__setattr__(made, "logps", None)
    play(episode, made, "1" + END)
    assert episode.logps is None and len(episode.versions) == len(episode.completion_ids)


def test_an_instance_is_never_in_two_episodes_and_is_used_again(tmp_path):
    worlds.Counter.made = worlds.Counter.closed = 0
    environments, first = make(tmp_path)
    second = environments.episode(ROW, _rendering(environments, tmp_path), Limits(100))
    play(first)
    play(second)
    one, other = first.environment, second.environment
    assert one is not other and worlds.Counter.made == 2, "the one that was made to check the class is the first"
    first.end()
    first.end()
    third, fourth = (environments.episode(ROW, _rendering(environments, tmp_path), Limits(9)) for _ in range(2))
    play(third)
    assert third.environment is one
    play(fourth)
    assert worlds.Counter.made == 3 and first.environment is None
    for episode in (second, third):
        episode.end()
    environments.close()
    environments.close()
    assert worlds.Counter.closed == 3


def test_an_episode_that_was_cancelled_in_a_tool_does_not_give_its_instance_back(tmp_path):
    environments, episode = make(tmp_path, factory=f"{WORLDS}.Troubled")

    async def run():
        await episode.begin()
        task = asyncio.create_task(episode.add_turn(turn(call("fail", '{"kind": "hang"}') + END)))
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.wait({task})

    asyncio.run(run())
    instance = episode.environment
    episode.end()
    again = environments.episode(ROW, _rendering(environments, tmp_path), Limits(9))
    play(again)
    assert again.environment is not instance
    worlds.RELEASE.set()
    worlds.RELEASE.clear()
