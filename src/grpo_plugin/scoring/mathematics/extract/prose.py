"""Answers stated in prose: an answer line, or the last sentence."""

import re

from grpo_plugin.scoring.mathematics.extract.cues import CUES, NOUN_AND_VERB, SHORT_CUE, VERBS
from grpo_plugin.scoring.mathematics.extract.denials import begins_with_correction, is_denied, what_stands
from grpo_plugin.scoring.mathematics.parse.lexicon import FILLERS, FUNCTIONS, GREEK_WORDS, PROSE
from grpo_plugin.scoring.mathematics.parse.reading import read

_REASON = re.compile(
    r",? (?:because|since|which|where|so that|as required|as desired|as needed|for all|for any|by the)\b"
    r"|,? (?:rather than|instead of)\b|, (?:not|so|as|and so|and that)\b"
)
_BECAUSE = re.compile(r",? (?:because|since)\b")
_WHEN = re.compile(r",? when\b")
_SENTENCE_END = re.compile(
    r"(?:(?<!\.)\.(?!\.)|(?<!\))!|\?)(?=(?:\$\$?|\\[\])]|[\"')*]+)?(?:\s+[A-Z\\$(*]|\s*\n|\s*\Z))|[。；！？]|\n+"
)
# What follows the letter A where it is a choice and no article.
_IS_CHOICE = re.compile(r"[^a-z]|and\b|or\b")
# Answers that are no value, in the sentence that states them.
_NO_VALUE = re.compile(
    r"\b(?:does not exist|doesn't exist|no (?:real |integer )?solutions?|cannot be determined|undefined"
    r"|not enough information|infinitely many solutions)\b",
    re.IGNORECASE,
)
_HAS_DIGIT = re.compile(r"[0-9$\\]|\b[A-J]\b")
_COUNTED = re.compile(r"\b(?:step|case|part|question|problem|equation|method|option)\s+[0-9]+[:.)]*", re.IGNORECASE)
_SHARE_OF = re.compile(r"(-?[0-9][0-9,]*(?:\.[0-9]+)?(?:/[0-9]+)?\s?\\?%?)\s+of\b")
_CLAUSE = re.compile(r"\s(?:that|which|who|whose|such|satisfying|for which|in total|altogether)\b")
_POLITE_ENDING = re.compile(r"\s*(?:です|である|になります|となります|입니다|이다|이에요)\Z")
_FORMULA = re.compile(r"\$\$([^$]+)\$\$|\$([^$]+)\$|\\\(((?:[^\\]|\\[^)])+)\\\)|\\\[((?:[^\\]|\\[^\]])+)\\\]")
_NUMBER = re.compile(r"-?(?:[$€£]\s?)?-?[0-9][0-9,]*(?:\.[0-9]+)?(?:/[0-9]+)?%?")
_UNFINISHED = re.compile(
    r"(?:[=+*/^_\\({\[<>,:-]"
    r"|(?<![-+*/<>=^] )\b(?:is|are|be|by|the|a|an|and|or|to|of|then|we|get|equals|so|that|with|for|have|has|from|as|if"
    r"|it))\s*\Z"
)
_IS_THE_ANSWER = re.compile(
    r",? (?:is|are) (?:correct|right"
    r"|(?:the|our|my|your) (?:final |correct |right |only )?(?:answer|result|solution)s?)\Z"
)
_CONCLUSION = re.compile(r"[,;]? (?:so|hence|therefore|thus|which means(?: that)?) (?!that )")
_IN_WORDS = re.compile(r"\s+\([a-z -]{2,}\)\Z")
_YES_OR_NO = re.compile(r"(yes|no|true|false)\b(?=[,.;:])", re.IGNORECASE)
_COMMAND_OR_WORD = re.compile(r"\\(?:text|mathrm|textbf|operatorname)\s*\{[^{}]*\}|\\[a-zA-Z]+|[A-Za-z']{2,}")
_WORDY_CUE = re.compile(f"{NOUN_AND_VERB}|{SHORT_CUE}", re.IGNORECASE)
# Words and then a number: a sentence, unless it is one name (June 20) or a function (sin 30).
_WORDS_AND_NUMBER = re.compile(r"([^\W\d_]+)((?:\s+[^\W\d_]+)*)\s+[$€£]?-?[0-9]")
_BEFORE_NUMBERS = FUNCTIONS | GREEK_WORDS | {"pi", "minus", "negative", "plus", "about", "approximately"}
_OPERATORS = frozenset(("choose", "over", "times", "plus", "minus", "mod", "and", "or", "to"))
_CHINESE_PROSE = re.compile(r"[\u4e00-\u9fff]{2,}[，,：:]?\s*(?:\$|\\\()")
_BOUND = re.compile(
    r"(?:at least|at most|(?:no )?(?:more|less|greater|fewer|smaller|larger) than|up to|over|under|between|twice|double"
    r"|triple|(?:(?:a|one) )?(?:half|third|quarter) of)\b",
    re.IGNORECASE,
)
_TRUTH = re.compile(r"\b(?:is|are) (not |in)?(?P<value>true|false|correct|valid)\Z", re.IGNORECASE)
# What a sentence says of a value: `n = 7 is the smallest`.
_THE_WORD = re.compile(r"the [a-z ]+\Z")
_DOUBT = re.compile(r"\b(?:not|cannot|n't|but|unless|if|unsure|maybe)\b", re.IGNORECASE)
_MAX_WORDS, _MAX_TAIL = 4, 12
_LINE = 300


def stated_answer(text: str) -> str | None:
    """The answer that prose states, or None where it states none or breaks off."""
    text = text.strip().strip("*").strip().removesuffix("\\\\").rstrip()
    if not text or _UNFINISHED.search(text):
        return None
    cued = after_cue(text)
    if cued is not None:
        return None if _breaks_off(cued) else _within(cued) or _undenied(cued)
    line = _without_fillers(text) if len(text) <= _LINE and "\n" not in text else ""
    if line and is_answer(line, words=2):
        return line
    return _from_last_sentences(text)


def is_answer(text: str, words: int = _MAX_WORDS) -> bool:
    """Whether a text is an answer by itself: mathematics, a choice, or at most so many words."""
    if any(word.lower() in PROSE for word in _COMMAND_OR_WORD.findall(text)) or _is_sentence(text):
        return False
    reading = read(text)
    if reading.choice is not None and len(text.split()) <= _MAX_WORDS:
        return True
    return len(text.split()) <= words if reading.is_text else bool(reading.nodes)


def _is_sentence(text: str) -> bool:
    """Whether a text is words that lead to a number: `pay $64`, `Il y a 14`; not June 20 or sin 30."""
    if _CHINESE_PROSE.match(text):
        return True
    match = _WORDS_AND_NUMBER.match(text)
    if match is None or match[1].lower() in _BEFORE_NUMBERS:
        return False
    more = match[2].split()
    return (bool(more) and not _OPERATORS.intersection(more)) or (match[1].islower() and len(match[1]) > 1)


def after_cue(text: str) -> str | None:
    """What follows the last `Answer:`, `the answer is` or `####`, up to the end of its line or sentence.

    An answer that is asked (`is it 5?`), denied (`is not 5`) or taken back by the next sentence is none; what is said
    after it then counts.
    """
    lowered = text.lower()
    if len(lowered) != len(text):
        return None
    ends = [place + len(cue) for cue in CUES if (place := lowered.rfind(cue)) >= 0]
    ends = ends or [cue.end() for cue in _WORDY_CUE.finditer(text)]
    if not ends:
        return None
    if lowered[: max(ends)].endswith("不是"):
        return ""
    rest = text[max(ends) :].lstrip(" :：*=\t\n是为")
    phrase = _first_sentence(rest)
    after = rest[len(phrase) :]
    if after.startswith("?") or begins_with_correction(after.lstrip("?.! ")):
        return _from_last_sentences(after.lstrip("?.! ")) or ""
    return _POLITE_ENDING.sub("", phrase.strip().strip("*").strip())


def _breaks_off(phrase: str) -> bool:
    """Whether a group is opened and not closed."""
    return phrase.count("{") - phrase.count("\\{") > phrase.count("}") - phrase.count("\\}")


def _first_sentence(text: str) -> str:
    if text.startswith(("$$", "\\[", "\\begin")):
        return text.partition("\n\n")[0]
    end = next((match.start() for match in _SENTENCE_END.finditer(text) if match.start()), len(text))
    return text[:end]


def _within(phrase: str) -> str | None:
    """The answer within a phrase or a sentence: all of it, or what its verb states, or its mathematics alone."""
    phrase = phrase.strip().strip("*").strip()
    if (verdict := _NO_VALUE.search(phrase)) and not _NUMBER.search(phrase):
        return verdict[0]
    if (truth := _TRUTH.search(phrase)) and not _HAS_DIGIT.search(phrase):
        return truth["value"] if not truth[1] else f"not {truth['value']}"
    if (because := _BECAUSE.search(phrase)) and because.start():
        phrase = phrase[: because.start()]
    standing = what_stands(phrase)
    if standing is None:
        return None
    phrase = _without_fillers(_IS_THE_ANSWER.sub("", standing))
    if _BOUND.match(phrase):
        return None
    if reason := _REASON.search(phrase):
        phrase = phrase[: reason.start()]
    if (when := _WHEN.search(phrase)) and _HAS_DIGIT.search(phrase[: when.start()]):
        phrase = phrase[: when.start()]
    phrase = _IN_WORDS.sub("", phrase)
    if is_answer(phrase):
        return phrase or None
    if share := _SHARE_OF.match(phrase):
        return share[1]
    return _after_verb(phrase) or _last_mathematics(phrase) or _yes_or_no(phrase)


def _undenied(phrase: str) -> str | None:
    return None if not phrase or is_denied(f"is {phrase}") else phrase


def _from_last_sentences(text: str) -> str | None:
    """Look into the last three sentences, the last one first; a denial there ends the search."""
    sentences = [part for part in _SENTENCE_END.split(text) if part and part.strip()]
    if not sentences or _breaks_off(sentences[-1]):
        return None
    for sentence in reversed(sentences[-3:]):
        found = _within(_CONCLUSION.split(sentence)[-1]) or _within(sentence)
        if found or is_denied(sentence):
            return found
    return None


def _after_verb(sentence: str) -> str | None:
    """What follows the last verb, where that is an answer: `x` of `the sum is x`."""
    for verb in VERBS:
        _, found, rest = sentence.rpartition(verb)
        phrase = _without_fillers(rest)
        if found and phrase and is_answer(phrase) and not (_THE_WORD.match(rest) and _HAS_DIGIT.search(sentence)):
            return phrase
    return None


def _without_fillers(phrase: str) -> str:
    """The phrase without `Therefore,`, `about`, `the` at its beginning."""
    while True:
        word, _, rest = phrase.partition(" ")
        if not rest or word.lower().strip(",") not in FILLERS:
            return phrase
        if word in ("A", "A,") and (word == "A," or _IS_CHOICE.match(rest)):
            return phrase  # the choice A, no article
        phrase = rest.lstrip()


def _yes_or_no(phrase: str) -> str | None:
    """The first word of `Yes, it converges`."""
    match = _YES_OR_NO.match(phrase)
    return match[1] if match else None


def _last_mathematics(sentence: str) -> str | None:
    """The last formula; or what stands from a number to the end; or the last number, few words from the end."""
    formulas = list(_FORMULA.finditer(sentence))
    if formulas:
        return next(group for group in formulas[-1].groups() if group).strip()
    sentence = _COUNTED.sub("", sentence)
    if (first := _NUMBER.search(sentence)) and (clause := _CLAUSE.search(sentence, first.end())):
        sentence = sentence[: clause.start()]
    numbers = list(_NUMBER.finditer(sentence))
    if not numbers or (len(numbers) > 1 and not re.search(r"[^-0-9.,\s]", sentence)):
        return None  # none, or digits after digits that state no answer
    for number in numbers[-_MAX_WORDS:]:
        if is_answer(sentence[number.start() :]):
            return sentence[number.start() :]
    return numbers[-1].group().rstrip(",") if _is_near_the_end(sentence, numbers) else None


def _is_near_the_end(sentence: str, numbers: list[re.Match[str]]) -> bool:
    """Whether few words follow the last number; more may where it is the only one, or the result of an equation."""
    last = numbers[-1]
    tail = sentence[last.end() :]
    concludes = len(numbers) == 1 or sentence[: last.start()].rstrip().endswith("=")
    return len(tail.split()) <= (_MAX_TAIL if concludes and not _DOUBT.search(tail) else _MAX_WORDS)
