import pytest

from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe.yaml_file import read_yaml_mapping


def test_a_mapping_is_read_also_behind_a_byte_order_mark(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: {b: 1}\n")
    assert read_yaml_mapping(path, "recipe") == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read (No such file or directory); check the path."),
        (b"\xff\xfea", "not UTF-8 text (invalid start byte at byte 0); convert it."),
        (b"a: [1,\nb", "not valid YAML: expected ',' or ']', but got '<stream end>' (line 2, column 2)."),
        (b"a: 2025-99-99", "not valid YAML: month must be in 1..12."),
        (b"- 1", "expected keys and values, got list."),
        (b"", "expected keys and values, got an empty file."),
    ],
)
def test_each_mistake_is_one_sentence_that_names_the_file(tmp_path, content, message):
    path = tmp_path / "a.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        read_yaml_mapping(path, "recipe")
    assert str(caught.value) == f"recipe {str(path)!r}: {message}"
