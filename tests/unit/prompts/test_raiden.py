import json

import pytest
from click.testing import CliRunner

from grpo_plugin.cli.convert import convert

RECORD = {
    "character_profile": {"name": "Fox", "traits": ["sly", "quick"]},
    "question": "Who are you?",
    "answer": "A fox.",
    "keywords": "fox，sly, quick",
    "image": "den.png",
    "turn": 3,
}


@pytest.fixture
def run(tmp_path):
    def convert_file(records, *options):
        source, target = tmp_path / "in.json", tmp_path / "out.jsonl"
        source.write_text(json.dumps(records))
        result = CliRunner().invoke(convert, ["raiden", str(source), str(target), *options])
        lines = target.read_text().splitlines() if target.exists() else []
        return result, [json.loads(line) for line in lines]

    return convert_file


def test_records_become_rows_with_images_and_metadata(run):
    plain = {
        "character_profile": "A crow.",
        "question": "q",
        "answer": "a",
        "keywords": ["x ", ""],
        "images": ["1", "2"],
    }
    result, rows = run([RECORD, plain], "--verbose")
    assert result.exit_code == 0, result.output
    assert rows[0] == {
        "prompt": "Who are you?",
        "answer": "A fox.",
        "character_profile": "name: Fox\ntraits: sly, quick",
        "keywords": ["fox", "sly", "quick"],
        "images": ["den.png"],
        "extra_info": {"turn": 3},
    }
    assert (rows[1]["keywords"], rows[1]["images"]) == (["x"], ["1", "2"])
    assert "record 2: 'q' → 'a', 1 keywords, 2 images" in result.output
    assert "2 records of" in result.output


def test_bad_records_are_named_and_nothing_is_written(run):
    result, rows = run([RECORD, {**RECORD, "answer": " "}, {k: v for k, v in RECORD.items() if k != "question"}])
    assert (result.exit_code, rows) == (1, [])
    assert "an empty 'answer' in row 2" in result.output
    assert "no 'question' (there are character_profile, answer, keywords, image, turn) in row 3" in result.output
