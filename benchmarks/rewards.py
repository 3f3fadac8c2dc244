"""Mathematics rewards beside math-verify, TRL's accuracy_reward and mathruler (EasyR1): all figures in one run.

    python -m benchmarks.rewards [--pairs 300] [--ours] [--no-workers]

Accuracy is measured on tests/data/equivalence.txt, once with every answer in a box and once in mixed formats (box, tag,
line, free text in turn). Rates are per second of processor time of one process, which other work on the machine does
not stretch; the rate of two workers against one is of wall time, and needs an idle machine. A call that passes 10 s is
killed and counts as a hang and as wrong.
"""

import argparse
import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass, field
from pathlib import Path

from pebble import ProcessExpired, ProcessPool

from benchmarks import reward_peers
from benchmarks.reward_peers import GRADERS
from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.scoring import load
from grpo_plugin.scoring.processes import start_pool
from tests.data.pairs import BARE, BOX, FORMATS, Pair, pairs

KILL_SECONDS, SLOW_SECONDS = 10.0, 2.0
PROMPTS, GROUP = 512, 8
NOT_INTEGERS = frozenset(("integers", "choice", "text", *BARE))

Question = tuple[str, str, bool]  # response, gold, right

ADVERSARIES = (
    "\\boxed{9^{9^{9^9}}}",
    "\\boxed{99999999!}",
    "\\boxed{((10!)!)!}",
    "\\boxed{" + "(" * 5000 + "1" + ")" * 5000 + "}",
    "<reasoning></reasoning><answer>" * 3200,
    "\n" * 100_000,
    "\\boxed{" * 14_000,
    "\\boxed{\\frac{1}{\\sqrt}}",
    "\\boxed{٤٢}",
    "\\boxed{4\x002}",
)


@dataclass
class Tally:
    """The results of many calls."""

    right: int = 0
    false_positives: int = 0
    calls: int = 0
    slow: int = 0
    hangs: int = 0
    exceptions: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def accuracy(self) -> str:
        return f"{100 * self.right / self.calls:.1f} %"

    @property
    def per_thousand(self) -> str:
        return f"{1000 * self.false_positives / self.calls:.1f}"


def questions(labelled: Iterable[Pair], mixed: bool) -> list[Question]:
    formats = list(FORMATS.values()) if mixed else [BOX]
    return [
        ((BOX if pair.category in BARE else formats[place % len(formats)]).format(pair.answer), pair.gold, pair.equal)
        for place, pair in enumerate(labelled)
    ]


def tally(pool: ProcessPool, name: str, asked: Sequence[Question]) -> Tally:
    """Ask one grader, in a process that is killed and replaced when a call takes too long."""
    result = Tally(calls=len(asked))
    for response, gold, right in asked:
        began = time.perf_counter()
        verdict: object = None
        try:
            verdict = pool.schedule(reward_peers.judge, (name, response, gold), timeout=KILL_SECONDS).result()
        except (Late, ProcessExpired):
            result.hangs += 1
        result.slow += time.perf_counter() - began > SLOW_SECONDS
        result.exceptions += isinstance(verdict, str)
        result.right += verdict is right or (not right and not isinstance(verdict, bool))
        result.false_positives += verdict is True and not right
    return result


def rate(call: Callable[[], object], size: int) -> float:
    began = time.process_time()
    call()
    return size / (time.process_time() - began)


def grpo_batch() -> tuple[list[str], list[str]]:
    """512 golds × 8 completions of some 200 words: integers, fractions, surds; about half of them right."""
    draw = random.Random(0)
    completions, golds = [], []
    for _ in range(PROMPTS):
        a, b, kind = draw.randint(2, 999), draw.randint(2, 99), draw.random()
        gold = str(a) if kind < 0.6 else f"\\frac{{{a}}}{{{b}}}" if kind < 0.8 else f"{a}\\sqrt{{{b}}}"
        for _ in range(GROUP):
            answer = gold if draw.random() < 0.5 else gold.replace(str(a), str(draw.randint(2, 999)))
            golds.append(gold)
            completions.append(f"<think>{'We add the two and go on. ' * 35}</think>\n\\boxed{{{answer}}}")
    return completions, golds


def print_accuracy(labelled: Sequence[Pair], names: Sequence[str]) -> None:
    pool = start_pool(1, None, reward_peers.warm_up)
    pool.schedule(reward_peers.judge, ("ours", "", "1")).result()  # the start of the process is not timed as a call
    adversaries = [(response, "42", False) for response in ADVERSARIES]
    own, mixed = questions(labelled, False), questions(labelled, True)
    print(f"{len(labelled)} pairs; adversaries: {len(adversaries)}")
    print(f"{'':22}{'box':>9}{'mixed':>9}{'FP/1000':>9}{'> 2 s':>7}{'hangs':>7}{'errors':>8}")
    try:
        for name in names:
            boxed, various, bad = (tally(pool, name, asked) for asked in (own, mixed, adversaries))
            slow, hangs, errors = (
                sum(getattr(part, what) for part in (boxed, various, bad)) for what in ("slow", "hangs", "exceptions")
            )
            false = max(boxed.per_thousand, various.per_thousand, key=float)
            print(f"{name:22}{boxed.accuracy:>9}{various.accuracy:>9}{false:>9}{slow:>7}{hangs:>7}{errors:>8}")
    finally:
        pool.stop()
        pool.join()


def print_rates(labelled: Sequence[Pair], names: Sequence[str]) -> None:
    completions, golds = grpo_batch()
    distinct = [(BOX.format(p.answer), p.gold) for p in labelled if p.category not in NOT_INTEGERS]
    for name, sample in ((name, None if name == "ours" else 400) for name in names):
        grader = GRADERS[name]
        grader("\\boxed{1}", "1")
        batch = list(zip(completions, golds, strict=True))[:sample]
        apart = [pair for pair in distinct if "9^" not in pair[1]][: sample and 150]
        on_batch = rate(lambda: [grader(*pair) for pair in batch], len(batch))  # noqa: B023 — called at once
        on_distinct = rate(lambda: [grader(*pair) for pair in apart], len(apart))  # noqa: B023
        print(f"{name:22}{on_batch:>14,.0f}/s{on_distinct:>14,.0f}/s")


def print_workers() -> None:
    """The same work by one worker and by two, on a grader that costs about a millisecond."""
    completions, _ = grpo_batch()
    seconds = []
    for workers in (1, 2):
        block = {"functions": [{"function": f"{Path(__file__)}:costly", "run": "workers"}], "workers": workers}
        rewards = load(RewardsConfig.parse("rewards", block), Path.cwd())
        rewards.score(completions[:16], completions[:16], [[0]] * 16, {})
        began = time.perf_counter()
        rewards.score(completions, completions, [[0]] * len(completions), {})
        seconds.append(time.perf_counter() - began)
        rewards.close()
    print(f"two workers against one: {seconds[0] / seconds[1]:.2f} times ({seconds[0]:.1f} s, {seconds[1]:.1f} s)")


def costly(completions: Sequence[str], **columns: object) -> list[float]:
    """About a millisecond of work for each completion."""
    return [float(sum(place * place for place in range(12_000)) > 0) for _ in completions]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, help="so many pairs, drawn evenly; by default all")
    parser.add_argument("--ours", action="store_true", help="without the other graders")
    parser.add_argument("--no-workers", action="store_true", help="without the rate of two workers")
    arguments = parser.parse_args()
    labelled = list(pairs())
    if arguments.pairs:
        labelled = random.Random(0).sample(labelled, arguments.pairs)
    names = ["ours"] if arguments.ours else list(GRADERS)
    print_accuracy(labelled, names)
    print(f"\n{'':22}{'GRPO batch':>16}{'distinct pairs':>16}")
    print_rates(labelled, names)
    if not arguments.no_workers:
        print()
        print_workers()


if __name__ == "__main__":
    main()
