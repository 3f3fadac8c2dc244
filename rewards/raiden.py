"""Role-playing (RAIDEN): the verifiable role-awareness reward (VRAR), in three parts.

Reads the columns `answer` (what the character should say) and, where there is one, `keywords` (a list, or words with
commas between them).

    accuracy  1.0 for the answer itself; 0.3 to 0.9 by the share of keywords in its sentences; 0.3 to 0.6 by
              similarity; else 0
    format    a third each for reasoning in <think>, an organised reply, a conclusion
    thinking  the reasoning: its length, its steps, and the share of keywords in it

    >>> text = "<think>She asks for my name. So I say it.</think><answer>I am Li Bai, the poet.</answer>"
    >>> vrar([text], ["I am Li Bai, the poet."])[0]["accuracy"]
    1.0
    >>> vrar([text], ["My name is Li Bai."], keywords=[["Li Bai", "poet", "Tang"]])[0]["accuracy"]
    0.7

In a recipe, where every part is a metric of its own:

    - {function: rewards.raiden.vrar, kwargs: {accuracy_weight: 0.5, format_weight: 0.3, thinking_weight: 0.2}}

Similarity is the cosine of sentence embeddings where sentence-transformers and its model are on this machine, else
the F1 of shared tokens; `describe` says which. Source: RAIDEN-R1 (arXiv 2505.10218); the weights and ranges are the
ones this project's recipe uses. Departure: a keyword counts in a sentence that has other words too, half as many
different ones as it has words of keywords (`and`, `or`, `the` apart), so that a heap of keywords is worth nothing.
"""

import importlib.util
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from grpo_plugin.scoring.completions import text_of
from rewards.tags import last

EMBEDDING_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
_SIMILAR = 0.5
_LONG_THOUGHT = 60
_STEP = re.compile(
    r"\b(?:because|so|therefore|since|first|then|but|should|if|hence|thus|must)\b|因为|所以|因此|首先|然后|但|应该|如果"
)
_CONCLUSION = re.compile(r"\b(?:in short|in conclusion|therefore|to sum up|overall)\b|总之|因此|综上", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?。！？\n]+")
_JOINTS = frozenset(("and", "or", "the", "和", "与", "及"))
_TOKEN = re.compile(r"[a-z0-9']+|[一-鿿]")
_PUNCTUATION = re.compile(r"[\s.,;:!?'\"。，；：！？、“”‘’]+")

Similarity = Callable[[str, str], float]


def vrar(
    completions: Sequence[Any],
    answer: Sequence[str],
    keywords: Sequence[Any] | None = None,
    accuracy_weight: float = 0.5,
    format_weight: float = 0.3,
    thinking_weight: float = 0.2,
    **columns: Any,
) -> list[dict[str, float]]:
    """`overall`, the weighted sum, with `accuracy`, `format` and `thinking`, each from 0 to 1."""
    listed = keywords if keywords is not None else [None] * len(completions)
    scores = []
    for completion, gold, words in zip(completions, answer, listed, strict=True):
        text = text_of(completion)
        right, shaped, thought = accuracy_of(text, gold, words), format_of(text), thinking_of(text, gold, words)
        overall = accuracy_weight * right + format_weight * shaped + thinking_weight * thought
        scores.append({"overall": overall, "accuracy": right, "format": shaped, "thinking": thought})
    return scores


def accuracy_of(text: str, gold: str, keywords: Any = None) -> float:
    """The best of: the answer itself, the share of keywords, similarity to the answer."""
    reply = _reply(text)
    if not reply or not gold:
        return 0.0
    if _plain(reply) == _plain(gold):
        return 1.0
    covered = _coverage(reply.lower(), _keywords(keywords))
    similar = similarity()(reply, gold)
    by_keywords = 0.3 + 0.6 * covered if covered else 0.0
    by_similarity = 0.3 + 0.3 * similar if similar >= _SIMILAR else 0.0
    return round(max(by_keywords, by_similarity), 6)


def _coverage(reply: str, keywords: list[str]) -> float:
    """The share of keywords that occur in a sentence of `reply` which is one, and not a list of keywords."""
    covered: set[str] = set()
    for sentence in _SENTENCE_END.split(reply):
        named = {word for word in keywords if word in sentence}
        rest = sentence
        for word in sorted(named, key=len, reverse=True):
            rest = rest.replace(word, " ")
        others = set(_TOKEN.findall(rest)) - _JOINTS
        if 2 * len(others) >= sum(len(_TOKEN.findall(word)) for word in named):
            covered |= named
    return len(covered) / len(keywords) if keywords else 0.0


def format_of(text: str) -> float:
    """A third each: reasoning in <think>, a reply in several sentences or paragraphs, a conclusion."""
    thought, reply = (last(text, "think") or "").strip(), _reply(text)
    organised = len([part for part in re.split(r"[.!?。！？\n]", reply) if part.strip()]) > 1
    concluded = bool((last(text, "answer") or "").strip()) or bool(_CONCLUSION.search(reply))
    return (bool(thought) + organised + concluded) / 3


def thinking_of(text: str, gold: str, keywords: Any = None) -> float:
    """0 without reasoning; else 0.4 for its length, 0.3 for its steps, 0.3 for words that the answer needs."""
    thought = (last(text, "think") or "").lower()
    tokens = _TOKEN.findall(thought)
    if not tokens:
        return 0.0
    length = min(len(tokens) / _LONG_THOUGHT, 1.0)
    steps = min(len(_STEP.findall(thought)) / 3, 1.0)
    wanted = _keywords(keywords) or _TOKEN.findall(gold.lower())
    touched = sum(word in thought for word in wanted) / len(wanted) if wanted else 0.0
    return 0.4 * length + 0.3 * steps + 0.3 * touched


def warm_up() -> None:
    """Load the embedding model, so that no completion waits for it."""
    similarity()


def describe() -> str:
    """Which measure of similarity this process uses."""
    if similarity() is token_f1:
        return "rewards.raiden: similarity by shared tokens (sentence-transformers or its model is not installed)"
    return f"rewards.raiden: similarity by embeddings of {EMBEDDING_MODEL}"


@lru_cache(maxsize=1)
def similarity() -> Similarity:
    """Embeddings where they are installed on this machine (nothing is downloaded), tokens otherwise."""
    if importlib.util.find_spec("sentence_transformers") is None:
        return token_f1
    from sentence_transformers import SentenceTransformer

    try:
        model = SentenceTransformer(EMBEDDING_MODEL, local_files_only=True)
    except (OSError, ValueError):
        return token_f1

    def cosine(left: str, right: str) -> float:
        one, other = model.encode([left, right], normalize_embeddings=True)
        return max(float(one @ other), 0.0)

    return cosine


def token_f1(left: str, right: str) -> float:
    """Harmonic mean of precision and recall of words (of characters in Chinese), each counted as often as it occurs."""
    one, other = Counter(_TOKEN.findall(left.lower())), Counter(_TOKEN.findall(right.lower()))
    shared = (one & other).total()
    return 2 * shared / (one.total() + other.total()) if shared else 0.0


def _reply(text: str) -> str:
    """What the character says: the answer tag, or what follows the reasoning."""
    tagged = last(text, "answer")
    return (text.rpartition("</think>")[2] if tagged is None else tagged).strip()


def _plain(text: str) -> str:
    return _PUNCTUATION.sub(" ", text.lower()).strip()


def _keywords(keywords: Any) -> list[str]:
    words = keywords.replace("，", ",").split(",") if isinstance(keywords, str) else keywords or []
    return [str(word).strip().lower() for word in words if str(word).strip()]
