"""Writes the parts of docs/ that come from the code: `make docs-generated`. A test holds them current.

A page has a place for each part, between `<!-- generated: NAME -->` and `<!-- /generated -->`.
"""

import re
from collections.abc import Callable
from pathlib import Path

from grpo_plugin.algorithms import presets
from grpo_plugin.config import reference

DOCS = Path(__file__).parent
PART = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)

PARTS: dict[str, Callable[[], str]] = {"presets": presets.markdown, "recipe": reference.markdown}


def filled(text: str) -> str:
    """A page with every generated part written anew."""
    return PART.sub(lambda found: f"{found[1]}\n{PARTS[found['name']]().strip()}\n\n{found[3]}", text)


def main() -> None:
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if (new := filled(text)) != text:
            page.write_text(new, encoding="utf-8")
            print(f"written: {page.name}")


if __name__ == "__main__":
    main()
