import pytest

from grpo_plugin.environments.calls import MalformedCall, ToolCall
from grpo_plugin.environments.formats import hermes, llama3_json, pythonic, qwen3_coder

SCHEMAS = {
    "add": {
        "parameters": {
            "properties": {
                "a": {"type": "integer"},
                "note": {"type": "string"},
                "maybe": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                "items": {"type": "array"},
            }
        }
    }
}
ADD = ToolCall("add", {"a": 1})


def reasons(turn):
    return [call.reason for call in turn.calls if isinstance(call, MalformedCall)]


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        ("Just text.", "Just text.", []),
        ("", "", []),
        ('<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>', "", [ADD]),
        ('So:\n<tool_call>{"name":"add","arguments":{"a":1}}</tool_call>', "So:", [ADD]),
        ('<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>' * 2, "", [ADD, ADD]),
        ('<tool_call>{"name": "add", "arguments": {"a": 1}}', "", [ADD]),
        ('<tool_call>{"name": "add"}</tool_call>', "", [ToolCall("add", {})]),
        ('<tool_call>{"name": "add", "arguments": "{\\"a\\": 1}"}</tool_call>', "", [ADD]),
        (
            '<tool_call>{"name": "add", "arguments": {"a": "</tool"}}</tool_call>',
            "",
            [ToolCall("add", {"a": "</tool"})],
        ),
        (
            "<think>\n<tool_call>{}</tool_call>\n</think>\n\nNo.",
            "<think>\n<tool_call>{}</tool_call>\n</think>\n\nNo.",
            [],
        ),
        ("<think>\n<tool_call>{}</tool_call>", "<think>\n<tool_call>{}</tool_call>", []),
        ('x</think>\n<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>', "x</think>", [ADD]),
    ],
)
def test_hermes(text, content, calls):
    turn = hermes.parse(text, {})
    assert (turn.content, list(turn.calls)) == (content, calls)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<tool_call>{'name': 'add'}</tool_call>", "the call is not valid JSON (Expecting property name"),
        ("<tool_call></tool_call>", "the call is not valid JSON (Expecting value"),
        ("<tool_call>[1]</tool_call>", "a call is a JSON object with name and arguments, not a list"),
        ('<tool_call>{"name": 3}</tool_call>', "the call has no name"),
        (
            '<tool_call>{"name": "add", "arguments": [1]}</tool_call>',
            "the arguments of add are a list, not a JSON object",
        ),
        ('<tool_call>{"name": "add", "arguments": "one"}</tool_call>', "the arguments of add are text"),
        (
            '<tool_call>{"name": "add", "arguments": "' + "[" * 100_000 + '"}</tool_call>',
            "the arguments of add are text",
        ),
        ("<tool_call>" + "[" * 100_000 + "</tool_call>", "the call is not valid JSON"),
    ],
)
def test_hermes_that_cannot_be_read(text, reason):
    turn = hermes.parse(text, {})
    assert turn.content == text and len(turn.calls) == 1 and reasons(turn)[0].startswith(reason)


def test_a_call_that_can_be_read_beside_one_that_cannot():
    text = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call><tool_call>{oops</tool_call>'
    turn = hermes.parse(text, {})
    assert turn.content == text and turn.calls[0] == ADD and isinstance(turn.calls[1], MalformedCall)
    assert turn.message()["tool_calls"] == [{"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        ("The answer is {1}.", "The answer is {1}.", []),
        ('{"answer": 1}', '{"answer": 1}', []),
        ('{"name": "add", "parameters": {"a": 1}}', "", [ADD]),
        ('<|python_tag|>{"name": "add", "parameters": {"a": 1}}', "", [ADD]),
        ('{"name": "add", "arguments": {"a": 1}}', "", [ADD]),
        ('{"name": "add", "parameters": {"a": 1}}; {"name": "add", "parameters": {"a": 1}}', "", [ADD, ADD]),
        ('{"name": "add", "parameters": {"a": 1}} I hope.', "I hope.", [ADD]),
        ('{"type": "function", "name": "add", "parameters": {"a": 1}}', "", [ADD]),
    ],
)
def test_llama3_json(text, content, calls):
    turn = llama3_json.parse(text, {})
    assert (turn.content, list(turn.calls)) == (content, calls)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"name": "add", "parameters": {"a"}', "the call is not valid JSON"),
        ('{"name": "add", "parameters": 3}', "the parameters of add are a number"),
        ("<|python_tag|>add.call(a=1)", "a call is a JSON object with name and parameters"),
        ('{"name": "add", "parameters": {"a": 1}}; {"name": ', "the call is not valid JSON"),
    ],
)
def test_llama3_json_that_cannot_be_read(text, reason):
    turn = llama3_json.parse(text, {})
    assert turn.content == text and reasons(turn)[0].startswith(reason)


def xml(*parameters, name="add"):
    lines = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in parameters)
    return f"<tool_call>\n<function={name}>\n{lines}</function>\n</tool_call>"


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        (xml(("a", 1)), {"a": 1}),
        (xml(("note", 1)), {"note": "1"}),
        (xml(("note", "two\nlines\n")), {"note": "two\nlines\n"}),
        (xml(("maybe", "None"), ("items", "[1, 2]")), {"maybe": None, "items": [1, 2]}),
        (xml(("a", "many")), {"a": "many"}),
        (xml(("other", "True"), ("more", "x")), {"other": True, "more": "x"}),
        (xml(), {}),
        ("<tool_call>\n<function=add>\n<parameter=a>\n1\n", {"a": 1}),
    ],
)
def test_qwen3_coder(text, arguments):
    turn = qwen3_coder.parse(f"Then.\n{text}", SCHEMAS)
    assert (turn.content, list(turn.calls)) == ("Then.", [ToolCall("add", arguments)])


def test_qwen3_coder_that_cannot_be_read():
    assert (
        "a call is <function=name>" in reasons(qwen3_coder.parse('<tool_call>{"name": "add"}</tool_call>', SCHEMAS))[0]
    )
    broken = "<tool_call><function=add><argument=a>1</argument></function></tool_call>"
    assert reasons(qwen3_coder.parse(broken, SCHEMAS)) == [
        "add: an argument is <parameter=name>, its value, and </parameter>"
    ]


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        ("[1, 2]", "[1, 2]", []),
        ("[add(a=1)]", "", [ADD]),
        ("<|python_start|>[add(a=1), add(a=1)]<|python_end|>", "", [ADD, ADD]),
        ("[add(a=-1, b=[1, {'c': None}])]", "", [ToolCall("add", {"a": -1, "b": [1, {"c": None}]})]),
        ("[tools.add()]", "", [ToolCall("tools.add", {})]),
    ],
)
def test_pythonic(text, content, calls):
    turn = pythonic.parse(text, {})
    assert (turn.content, list(turn.calls)) == (content, calls)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[add(a=1", "the calls are no list in Python's syntax"),
        ("[add(1)]", "add: arguments are given as name=value"),
        ("[add(**x)]", "add: arguments are given as name=value"),
        ("[add(a=open('x'))]", "add: a value is neither text, number, list nor dict"),
        ("[add(a=1), 3]", "3 is no call"),
        (f"[add(), {'-' * 400}1]", "an expression that is too long is no call"),
        (f"[add(), 0x{'f' * 5000}]", "an expression that is too long is no call"),
        (f"[add(a=0x{'f' * 5000})]", "add: the arguments cannot be written as JSON"),
        ("[add(a={(1, 2): 3})]", "add: the arguments cannot be written as JSON (keys must be str"),
        ("[add(a={1, 2})]", "add: the arguments cannot be written as JSON (Object of type set"),
        ("<|python_start|>add(a=1)<|python_end|>", "calls are a list"),
    ],
)
def test_pythonic_that_cannot_be_read(text, reason):
    turn = pythonic.parse(text, {})
    assert turn.content == text and reasons(turn)[0].startswith(reason)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (
            hermes.parse,
            '<tool_call>{"name": "a\\ud83d", "arguments": {"\\ude00": ["\\ud83d\\ude00", "\\ud83dx"]}}</tool_call>',
        ),
        (llama3_json.parse, '{"name": "a\\ud83d", "parameters": {"\\ude00": ["\\ud83d\\ude00", "\\ud83dx"]}}'),
    ],
)
def test_half_a_character_in_a_call_is_replaced(parse, text):
    assert list(parse(text, {}).calls) == [ToolCall("a\ufffd", {"\ufffd": ["\U0001f600", "\ufffdx"]})]


def test_half_a_character_in_other_formats_is_replaced():
    [call] = pythonic.parse(r"[add(a='\ud83d', b=('\ud83d\ude00', 1))]", {}).calls
    assert call == ToolCall("add", {"a": "\ufffd", "b": ["\U0001f600", 1]})
    [call] = qwen3_coder.parse(xml(("items", r'["\ud83d"]')), SCHEMAS).calls
    assert call == ToolCall("add", {"items": ["\ufffd"]})
