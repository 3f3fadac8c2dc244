"""The final answer of a response: what is in its last box, its last answer tag, its answer line or its last sentence.

Every search is linear in the length of the response; prose is looked at in its last `TAIL` characters alone.
"""

import re
from typing import Any

from grpo_plugin.scoring.mathematics.extract.cues import WITH_DECIMAL_COMMA
from grpo_plugin.scoring.mathematics.extract.prose import after_cue, is_answer, stated_answer
from grpo_plugin.scoring.mathematics.parse.national import with_decimal_points as as_decimal_points
from grpo_plugin.scoring.mathematics.parse.tokens import closing_brace
from grpo_plugin.scoring.mathematics.parse.words import strip_commands

TAIL = 3_000
_REASONING = tuple((f"<{tag}>", f"</{tag}>") for tag in ("think", "thinking", "reasoning"))
_MAX_NESTED = 3
_BOX_OR_BRACE = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])\s*(\{|-?[0-9.]+|[a-zA-Z])|\\.|[{}]", re.DOTALL)


_MAX_BETWEEN = 60
_MAX_AFTER = 400
_VALUE = re.compile(r"[0-9]")
_BETWEEN_BOXES = re.compile(r"(?:[\s$,;]|\\q?quad|\\[,;:()\[\] ]|\\text\s*\{[a-z() ,]*\}|\band\b|\bor\b)*\Z")
_END_OF_TURN = re.compile(
    r"<\|(?:im_end|eot_id|end_of_text|endoftext|end|eom_id|end_of_turn)\|>|</s>|<eos>|<end_of_turn>|<｜end▁of▁sentence｜>"
    r"|<\|im_start\|>user|<\|start_header_id\|>user"
)
_TOKEN_MARKS = ("<|", "<｜", "</s>", "<s>", "<eos>", "<bos>", "<pad>", "<unk>", "_of_turn>")
_SPECIAL_TOKEN = re.compile(
    r"<\|[a-z_]{2,30}\|>(?:assistant\b)?|<｜[^<>｜]{2,40}｜>|<s>|<bos>|<pad>|<unk>|<start_of_turn>(?:model\b)?"
)


# A box without its backslash, or with \b read as a backspace.
_BARE_BOX = re.compile(r"(?:\x08oxed|(?<![\\A-Za-z])boxed)(?=\s*\{)")
_SENTENCE = re.compile(
    r"(?:so |thus |therefore,? |hence |the |our |final |correct )*(?:answer|solution|result|value)\b"
    r".*?(?:\bis\b|\bare\b|:)",
    re.IGNORECASE,
)


class _Truncated(Exception):
    """The response ends within its answer."""


def extract(response: str) -> str | None:
    """The final answer as text, or None where there is none or the response was cut off before its end.

    Reasoning between tags does not count; of several boxes or tags the last one does.
    """
    text = after_reasoning(_readable(response))
    if text is None:
        return None
    try:
        marked = _marked(text)
    except _Truncated:
        return None
    return stated_answer(text[-TAIL:]) if marked is None else marked or None


def with_decimal_points(response: str) -> str | None:
    """The final answer with decimal commas as points, of a response in a language that writes them; else None."""
    tail = response[-TAIL:]
    if "," not in tail or not any(map(tail.lower().__contains__, WITH_DECIMAL_COMMA)):
        return None
    found = extract(response)
    return None if found is None else as_decimal_points(found)


def _readable(response: str) -> str:
    """The text before the end of the turn, without special tokens, and with a backslash before each box."""
    text = _without_special_tokens(response)
    return _BARE_BOX.sub(r"\\boxed", text) if "oxed" in text and "\\boxed" not in text else text


def _without_special_tokens(response: str) -> str:
    """The text before the end of the turn, without the special tokens of chat templates."""
    if not any(map(response.__contains__, _TOKEN_MARKS)):
        return response
    turn = next((part for part in _END_OF_TURN.split(response) if part.strip()), "")
    return _SPECIAL_TOKEN.sub("", turn)


def after_reasoning(response: str) -> str | None:
    """What follows the reasoning; None where reasoning was opened and never closed."""
    for opening, closing in _REASONING:
        if opening in response or closing in response:
            end = response.rfind(closing)
            if response.find(opening, end + 1) >= 0:
                return None
            response = response[end + len(closing) :]
    return response


def gold_text(gold: Any) -> str:
    r"""The gold answer of a dataset row as text: of a whole solution, its last boxes or what follows `####`."""
    text = gold if isinstance(gold, str) else "" if gold is None else str(gold)
    if "####" in text:
        return text.rpartition("####")[2].strip()
    return (joined_boxes(text) or last_box(text) or text) if "\\boxed" in text else text


def last_box(text: str) -> str | None:
    r"""The content of the last outermost \boxed{…} or \fbox{…}, or None; an unfinished last box is none."""
    try:
        box = _find_box(text)
    except _Truncated:
        return None
    return None if box is None else box[1]


def _marked(text: str) -> str | None:
    """The content of the last box or answer tag, whichever ends later; None without either."""
    box, tag = _find_box(text), _find_tag(text)
    if tag is not None and (box is None or tag[0] > box[0] or tag[0] < 0):
        return _of_tag(tag[1])
    if box is None:
        return None
    return _said_after(text[box[0] :]) or _stated(box[1])


def _said_after(text: str) -> str | None:
    """The value that a text behind the last box calls the final answer: the box was that of a step."""
    if len(text) > _MAX_AFTER or "inal answer" not in text.lower():
        return None
    found = after_cue(text)
    return found if found and _VALUE.search(found) and is_answer(found) else None


def _stated(content: str) -> str:
    """The 5 of a box with `The answer is 5` in it."""
    if "is" not in content and ":" not in content:
        return content
    plain = strip_commands(content)
    return (_SENTENCE.match(plain) and stated_answer(plain)) or content


def _of_tag(content: str) -> str:
    box = _find_box(content)
    if box is not None:
        return box[1]
    return stated_answer(content[-TAIL:]) or content.strip()


def _find_box(text: str) -> tuple[int, str] | None:
    """End and content of the last outermost box.

    Raises:
        _Truncated: a box begins after the last complete one and does not end.
    """
    boxes = _find_boxes(text)
    return (boxes[-1][2], _unboxed(text[boxes[-1][1] : boxes[-1][2]].strip())) if boxes else None


def _find_boxes(text: str) -> list[tuple[int, int, int]]:
    """Start, start of the content and its end, of all outermost boxes.

    Raises:
        _Truncated: a box begins after the last complete one and does not end.
    """
    first, framed = text.find("\\boxed"), text.find("\\fbox")
    first = framed if first < 0 or 0 <= framed < first else first
    if first < 0:
        return []
    if "{" in text[first:] and text.find("}", first) < 0:
        raise _Truncated
    open_braces: list[tuple[int, int]] = []  # (start of the box or -1, start of the content)
    boxes: list[tuple[int, int, int]] = []  # (start, start of the content, end), those inside a later one dropped
    for match in _BOX_OR_BRACE.finditer(text, first):
        if match.group() == "}":
            start, content = open_braces.pop() if open_braces else (-1, 0)
            if start >= 0:
                while boxes and boxes[-1][0] > start:
                    boxes.pop()
                boxes.append((start, content, match.start()))
        elif match.group(1) == "{":
            open_braces.append((match.start(), match.end()))
        elif match.group() == "{":
            open_braces.append((-1, match.end()))
        elif match.group(1):
            boxes.append((match.start(), match.start(1), match.end()))
    unfinished = max((start for start, _ in open_braces), default=-1)
    if unfinished >= 0 and (not boxes or unfinished > boxes[-1][0]):
        raise _Truncated
    return boxes


def joined_boxes(response: str) -> str | None:
    r"""The last boxes of a response as one list, where only commas or `and` separate them: \boxed{1} and \boxed{2}.

    None where the last box stands alone; of an answer in several boxes, `extract` gives the last.
    """
    text = after_reasoning(_readable(response))
    try:
        boxes = [] if text is None else _find_boxes(text)
    except _Truncated:
        return None
    contents = [text[boxes[-1][1] : boxes[-1][2]]] if text is not None and boxes else []
    for (_, content, end), (start, _, _) in zip(boxes[-2::-1], boxes[:0:-1], strict=False):
        between = "" if text is None else text[end:start].removeprefix("}")
        if text is None or len(between) > _MAX_BETWEEN or not _BETWEEN_BOXES.match(between):
            break
        contents.append(text[content:end])
    found = list(dict.fromkeys(inner for content in reversed(contents) if (inner := _unboxed(content.strip()))))
    return ", ".join(found) if len(found) > 1 else None


def _unboxed(content: str) -> str:
    r"""The inner content of \boxed{\boxed{5}}; anything beside the inner box keeps both."""
    for _ in range(_MAX_NESTED):
        match = _BOX_OR_BRACE.match(content)
        if match is None or match.group(1) != "{" or closing_brace(content, match.end()) != len(content) - 1:
            break
        content = content[match.end() : -1].strip()
    return content


def _find_tag(text: str) -> tuple[int, str] | None:
    """End and content of the last <answer>…</answer>.

    Raises:
        _Truncated: the last tag is not closed.
    """
    for shape in ("Answer", "ANSWER"):
        if f"</{shape}>" in text:
            text = text.replace(f"<{shape}>", "<answer>").replace(f"</{shape}>", "</answer>")
    end = text.rfind("</answer>")
    if text.find("<answer>", end + 1 if end >= 0 else 0) >= 0:
        raise _Truncated
    start = text.rfind("<answer>", 0, end) if end >= 0 else -1
    if start < 0:
        return None
    return end, text[start + len("<answer>") : end].partition("</answer>")[0].strip()
