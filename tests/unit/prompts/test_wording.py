import pytest

from grpo_plugin.errors import RecipeError
from grpo_plugin.prompts.gold_answers import boxed, gsm8k
from grpo_plugin.prompts.row_errors import RowError
from grpo_plugin.prompts.wording import chat_messages, compile_template, template_text


def user(text: str) -> dict:
    return {"role": "user", "content": text}


def test_text_becomes_a_user_message_under_the_system_message():
    template = compile_template("{{ source }}: {{ content }}")
    assert chat_messages("2+2?", {"source": "gsm8k"}, template, "Be brief.") == [
        {"role": "system", "content": "Be brief."},
        user("gsm8k: 2+2?"),
    ]


def test_messages_stay_and_the_template_rewords_the_last_user_message():
    chat = [user("a"), {"role": "assistant", "content": "b", "name": None}, user("c")]
    assert chat_messages(chat, {}, None, None) == [user("a"), {"role": "assistant", "content": "b"}, user("c")]
    assert chat_messages(chat, {}, compile_template("<{{ content }}>"), None)[-1] == user("<c>")
    assert chat[-1] == user("c")


def test_images_among_content_blocks_are_marks_for_the_template():
    blocks = [{"type": "image"}, {"type": "text", "text": "How many?"}]
    template = compile_template("{{ content }} Think.")
    assert chat_messages([{"role": "user", "content": blocks}], {}, template, None) == [user("<image>How many? Think.")]


@pytest.mark.parametrize(
    ("question", "template", "system", "words"),
    [
        ("  \n", None, None, "an empty prompt"),
        ([], None, None, "an empty prompt"),
        ([{"role": "user", "content": ""}], None, None, "an empty prompt"),
        ([{"role": "system", "content": "Be brief."}, user(" \n")], None, None, "an empty prompt"),
        ([user("a"), {"role": "assistant", "content": "b"}, user("")], None, None, "an empty prompt"),
        ([{"role": "user", "content": [{"type": "text", "text": " "}]}], None, None, "an empty prompt"),
        ("2+2?", "{{ '' }}\n", None, "an empty prompt after the template"),
        ("2+2?", "{{ content + 1 }}", None, "columns that do not fit the template .TypeError: "),
        ("2+2?", "{{ 1 / 0 }}", None, "columns that do not fit the template .ZeroDivisionError: "),
        ("2+2?", "{% for i in range(10**9) %}{% endfor %}", None, "do not fit the template .OverflowError: "),
        ("2+2?", "{% include 'x' %}", None, "do not fit the template"),
        (7, None, None, "a prompt that is int"),
        (["text"], None, None, "neither text nor a list of chat messages"),
        ("q", "{{ level }}", None, "columns that do not fit the template .*'level' is undefined"),
        ("q", "{{ ''.__class__.__mro__ }}", None, "columns that do not fit the template .*unsafe"),
        ([{"role": "system", "content": "s"}], "{{ content }}", None, "no user message for the template"),
        ([{"role": "system", "content": "s"}, user("q")], None, "t", "a system message of its own"),
    ],
)
def test_faults(question, template, system, words):
    with pytest.raises(RowError, match=words):
        chat_messages(question, {}, compile_template(template) if template else None, system)


def test_an_image_alone_is_a_prompt():
    shown = [{"role": "user", "content": [{"type": "image"}]}]
    assert chat_messages(shown, {}, None, None) == shown


def test_templates_are_files_or_text(tmp_path, monkeypatch):
    (tmp_path / "math.jinja").write_text("{{ content }}\n\nThink.\n")
    assert template_text("math.jinja", tmp_path) == "{{ content }}\n\nThink."
    assert template_text("{{ content }}!", tmp_path) == "{{ content }}!"
    with pytest.raises(RecipeError, match=r"prompts.template: 'maths.jinja' is no file in .*correct the path"):
        template_text("maths.jinja", tmp_path)
    with pytest.raises(RecipeError, match=r"prompts.template: line 2: .*correct the template"):
        compile_template("a\n{{ content }")


def test_answer_extractors():
    assert gsm8k("48/2 = <<48/2=24>>24\n#### 1,024") == "1024"
    assert gsm8k("a #### 1 then #### -2 ") == "-2"
    assert boxed(r"so \boxed{1} and \boxed{\frac{1}{2}}.") == r"\frac{1}{2}"
    for extract, solution in ((gsm8k, "24"), (boxed, "24"), (boxed, r"\boxed{\frac{1}{2}")):
        with pytest.raises(RowError, match="an answer without"):
            extract(solution)
