"""The pages a user reads: README and those of docs/, and what stands in them."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]

_FENCE = re.compile(
    r'^```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$', re.DOTALL | re.MULTILINE
)


class Block(NamedTuple):
    """A fenced block of a page; `number` counts the blocks of the page from 1."""

    page: Path
    number: int
    language: str
    title: str | None
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.name}-{self.number}"


def blocks(language: str) -> list[Block]:
    """All blocks of one language, on all pages."""
    return [block for page in PAGES for block in _blocks(page) if block.language == language]


def titled(title: str) -> str:
    """The text of the one block whose title is the file name that a reader would save it under."""
    (found,) = [block for page in PAGES for block in _blocks(page) if block.title == title]
    return found.text


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def _blocks(page: Path) -> list[Block]:
    found = enumerate(_FENCE.finditer(page.read_text(encoding="utf-8")), 1)
    return [Block(page, number, match["language"], match["title"], match["text"]) for number, match in found]
