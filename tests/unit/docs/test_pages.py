"""Links lead somewhere, files that are named exist, and what is written from the code is current."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.docs.pages import DOCS, PAGES, ROOT, prose

LINK = re.compile(r"\]\((?!https?:)(?P<path>[^)#]*)(?:#(?P<anchor>[^)]*))?\)")
NAMED_FILE = re.compile(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|yaml|jinja|md|sbatch))`")
# What a reader writes, or a run does; named as an example.
EXAMPLES = {"my_rewards.py", "my_recipe.yaml", "recipe.yaml", "my_advantages.py", "my_losses.py", "config.yaml"}
ids = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@ids
def test_links_lead_to_a_page_and_a_heading(page):
    for found in LINK.finditer(prose(page)):
        target = (page.parent / found["path"]) if found["path"] else page
        assert target.exists(), found[0]
        if found["anchor"]:
            assert found["anchor"] in anchors(target), found[0]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as mkdocs and GitHub make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}


@ids
def test_files_that_are_named_exist(page):
    """From the root of a clone, from src/grpo_plugin, or as the name alone of a file somewhere in it."""
    for name in set(NAMED_FILE.findall(prose(page))) - EXAMPLES:
        tries = (ROOT / name, ROOT / "src" / "grpo_plugin" / name, page.parent / name)
        assert any(path.exists() for path in tries) or found_by_name(name), name


def found_by_name(name: str) -> bool:
    return "/" not in name and any((ROOT / "src").rglob(name))


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_written_from_the_code_is_current():
    generate = generator()
    parts = [found["name"] for page in PAGES for found in generate.PART.finditer(page.read_text(encoding="utf-8"))]
    assert sorted(parts) == sorted(generate.PARTS), "each part stands once"
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert generate.filled(text) == text, f"{page.name}: run `make docs-generated`"


def test_every_page_is_in_the_menu():
    menu = set(re.findall(r"[\w-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    assert menu == {page.name for page in DOCS.glob("*.md")}
