"""`axolotl grpo recipes [NAME --out DIR]`: the recipes that come with this package, listed or copied."""

import re
from importlib.resources import files
from pathlib import Path

import click

from grpo_plugin.cli.exit_codes import errors_exit_2
from grpo_plugin.errors import RecipeError, suggestion

# A file that a recipe names: a base or a prompt template. Here they are named from the repository's root.
_NAMED = re.compile(r"recipes/([\w./-]+\.(?:yaml|jinja))")


@click.command()
@click.argument("name", required=False)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="The folder to copy the recipe to.")
@click.option("--force", is_flag=True, help="Replace files of --out that differ.")
@errors_exit_2
def recipes(name: str | None, out: Path | None, force: bool) -> None:
    """List the recipes of this package, or copy recipe NAME to --out, with its base files and prompt templates."""
    folder = recipes_folder()
    if name is None:
        click.echo(listing(folder))
        return
    if out is None:
        raise RecipeError(f"--out: missing; name the folder that {name} is to be copied to, such as --out=recipes.")
    copies = copied(folder, name, out)
    _check_replaced(copies, out, force=force)
    for path, text in copies.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(text, encoding="utf-8")
        click.echo(out / path)


def recipes_folder() -> Path:
    """The recipes in an installed package; in a clone the repository's own."""
    package = Path(str(files("grpo_plugin")))
    installed = package / "recipes_data"
    return installed if installed.is_dir() else package.parents[1] / "recipes"


def listing(folder: Path) -> str:
    """Name and first line of each recipe, in columns."""
    first = {path.stem: path.read_text(encoding="utf-8").partition("\n")[0] for path in sorted(folder.glob("*.yaml"))}
    width = max(map(len, first))
    return "\n".join(f"{name:{width}}  {line.lstrip('# ')}" for name, line in first.items())


def copied(folder: Path, name: str, out: Path) -> dict[str, str]:
    """The recipe and every file that it names, directly or by its base: path below `out` → text for there.

    In the text the files are named from the recipe's own folder; in comments, which show commands, from the working
    directory.

    Raises:
        RecipeError: there is no such recipe.
    """
    names = [path.stem for path in sorted(folder.glob("*.yaml"))]
    if name.removesuffix(".yaml") not in names:
        raise RecipeError(f"no recipe {name!r}; {suggestion(name, names)}")
    waiting, copies = [f"{name.removesuffix('.yaml')}.yaml"], {}
    while waiting:
        path = waiting.pop()
        lines = (folder / path).read_text(encoding="utf-8").splitlines(keepends=True)
        copies[path] = "".join(_renamed(line, Path(path).parent, out) for line in lines)
        named = [found for line in lines for found in _NAMED.findall(line.partition("#")[0])]
        waiting += [found for found in named if found not in copies]
    return copies


def _renamed(line: str, folder: Path, out: Path) -> str:
    """A line of a file in `folder` (relative to the recipes), with the paths that are right in the copy."""
    value, mark, comment = line.partition("#")
    up = "../" * len(folder.parts)
    return _NAMED.sub(rf"{up}\1", value) + mark + _NAMED.sub(lambda found: str(out / found[1]), comment)


def _check_replaced(copies: dict[str, str], out: Path, *, force: bool) -> None:
    """Raise if a file of another content would be replaced."""
    taken = [out / path for path, text in copies.items() if (out / path).exists() and (out / path).read_text() != text]
    if taken and not force:
        raise RecipeError(
            f"--out: {', '.join(map(repr, map(str, taken)))} would be replaced; name another folder, or add --force."
        )
