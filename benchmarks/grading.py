"""The mathematics grader by itself: labelled cases, a data set's gold answers, random LaTeX.

    python -m benchmarks.grading [--cases FILE] [--golds FILE --key gt] [--pairs] [--fuzz 20000]

--cases  a JSON-lines file as tests/data/grading.jsonl (the default): kind, answer, gold, expected.
--golds  a JSON-lines file with a gold answer per row under --key: each against itself and, with --pairs, every two
         distinct ones, of which the equal pairs are printed for a person to look at. MATH's test set is one such file.
--fuzz   so many random strings of LaTeX pieces, as completions and as golds: none may raise; the slowest is printed in
         processor time of this process and of math-verify's.
"""

import argparse
import json
import random
import resource
import time
from itertools import combinations
from pathlib import Path

from grpo_plugin.scoring.mathematics import equivalent, gold_text, response_agrees
from grpo_plugin.scoring.mathematics.compare.equivalence import matches_any
from grpo_plugin.scoring.mathematics.extract.final_answer import extract, joined_boxes
from tests.data.pairs import FOLDER
from tests.unit.scoring.mathematics.latex_pieces import PIECES

GOLDS = ("42", r"\sqrt{2}", "x+1", r"\{1, 2\}", "x = 5", "(1, 2]", r"\frac{\pi}{3}+2k\pi", "5 cm", r"\int_0^1 x \, dx")
FRAMES = ("{}", r"\boxed{{{}}}", "The answer is {}.", "<answer>{}</answer>")


def judge_cases(path: Path) -> None:
    judged = {"equivalent": equivalent, "accuracy": response_agrees}
    cases = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    wrong = [case for case in cases if judged[case["kind"]](case["answer"], case["gold"]) != case["expected"]]
    for case in wrong:
        print(f"  wrong: {case['answer']!r} for {case['gold']!r}, expected {case['expected']}")
    print(f"cases of {path.name}: {len(cases) - len(wrong)} of {len(cases)} right")


def judge_golds(path: Path, key: str, pairs: bool) -> None:
    golds = [gold_text(json.loads(line)[key]) for line in path.read_text(encoding="utf-8").splitlines()]
    unequal = [gold for gold in golds if not equivalent(gold, gold)]
    print(f"golds equal to themselves: {len(golds) - len(unequal)} of {len(golds)}")
    for gold in unequal[:20]:
        print(f"  not: {gold!r}")
    if not pairs:
        return
    distinct = sorted(set(golds))
    began = time.process_time()
    equal = [pair for pair in combinations(distinct, 2) if matches_any(*pair[:1], pair[1:])]
    count = len(distinct) * (len(distinct) - 1) // 2
    rate = count / (time.process_time() - began)
    print(f"{count:,} pairs of distinct golds, {rate:,.0f}/s; {len(equal)} judged equal:")
    for one, other in equal:
        print(f"  {one!r} = {other!r}")


def fuzz(count: int, seed: int) -> None:
    """Random answers, well-formed or not, against fixed golds and as golds themselves."""
    draw = random.Random(seed)
    slowest, text = 0.0, ""
    for _ in range(count):
        joint = draw.choice(("", " "))
        answer = joint.join(draw.choice(PIECES) for _ in range(draw.randint(1, 14)))
        gold = draw.choice(GOLDS)
        began = _processor_time()
        response = draw.choice(FRAMES).format(answer)
        found = extract(response)
        joined_boxes(response)
        if found is not None:
            matches_any(found, [gold])
        if _processor_time() - began > slowest:
            slowest, text = _processor_time() - began, response
        matches_any(answer, [answer])
    print(f"{count:,} random completions (seed {seed}): none raised; slowest {slowest:.3f} s: {text!r}")


def _processor_time() -> float:
    """Of this process and of ended children; a running child's time is bounded by its own budget."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, default=FOLDER / "grading.jsonl")
    parser.add_argument("--golds", type=Path)
    parser.add_argument("--key", default="gt")
    parser.add_argument("--pairs", action="store_true")
    parser.add_argument("--fuzz", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    judge_cases(arguments.cases)
    if arguments.golds:
        judge_golds(arguments.golds, arguments.key, arguments.pairs)
    if arguments.fuzz:
        fuzz(arguments.fuzz, arguments.seed)


if __name__ == "__main__":
    main()
