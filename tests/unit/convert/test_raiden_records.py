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
    assert (result.exit_code, rows) == (2, [])
    assert "an empty 'answer' in row 2" in result.output
    assert "no 'question' (there are character_profile, answer, keywords, image, turn) in row 3" in result.output


def convert_raw(folder, name, content, target="out.jsonl"):
    source = folder / name
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    return CliRunner().invoke(convert, ["raiden", str(source), str(folder / target)])


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_one_image_and_several_are_all_kept_in_order(run):
    _, rows = run([{**RECORD, "image": "a", "images": ["b", "c"]}, {**RECORD, "image": None, "images": "d"}])
    assert [row["images"] for row in rows] == [["a", "b", "c"], ["d"]]


def test_a_zero_is_an_answer(run):
    _, rows = run([{**RECORD, "answer": 0}])
    assert rows[0]["answer"] == "0"


def test_chat_messages_stay(run):
    chat = [{"role": "user", "content": "Hi"}]
    assert run([{**RECORD, "question": chat}])[1][0]["prompt"] == chat


def test_lists_in_csv_are_read_as_lists(tmp_path):
    head = "character_profile,question,answer,keywords,images\n"
    lines = [
        """A fox.,q,a,"[""x, y"",""z""]","[""1.png"",""2.png""]"\n""",
        """A fox.,q,a,"['x', 'y']",1.png\n""",
        """A fox.,q,a,"x, y",\n""",
    ]
    assert convert_raw(tmp_path, "in.csv", head + "".join(lines)).exit_code == 0
    rows = rows_of(tmp_path / "out.jsonl")
    assert [row["keywords"] for row in rows] == [["x, y", "z"], ["x", "y"], ["x", "y"]]
    assert [row["images"] for row in rows] == [["1.png", "2.png"], ["1.png"], []]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"keywords": 3}, "a number as 'keywords', which is a list of words"),
        ({"keywords": {"fox": 2}}, "an object as 'keywords', which is a list of words"),
        ({"keywords": [["fox"]]}, "a list as 'keywords', which is a list of words"),
        ({"keywords": "[fox, sly]"}, "a list as 'keywords' that is no JSON"),
        (
            {"question": ["q"], "answer": ["a"]},
            "a list as 'question', which is text (columns must be turned into rows)",
        ),
        ({"answer": {"0": "a"}}, "an object as 'answer', which is text"),
        ({"answer": []}, "an empty 'answer'"),
        ({"image": 3}, "a number as an image, which is a path"),
        ({"images": ["a", None]}, "nothing as an image, which is a path"),
    ],
)
def test_values_of_another_kind(run, changes, sentence):
    result, rows = run([{**RECORD, **changes}])
    assert (result.exit_code, rows) == (2, [])
    assert sentence in result.output and result.output.count("\n") == 1


def test_columns_are_not_one_record(tmp_path):
    columns = {"question": ["q", "r"], "answer": ["a", "b"], "character_profile": ["x", "y"]}
    for indent in (None, 2):
        result = convert_raw(tmp_path, "in.json", json.dumps(columns, indent=indent))
        assert result.exit_code == 2 and result.output.count("\n") == 1
        assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("in.json", b"\xff\xfe[", "not UTF-8 text"),
        ("in.csv", 'question,answer\n"q"x,a\n', "in.csv: row 1 is not CSV"),
        ("in.json", "[]", "in.json: holds no record; expected rows of character_profile, question, answer."),
        ("in.jsonl", "", "in.jsonl: holds no record"),
        ("in.txt", "x", "unknown format '.txt'; known formats: .jsonl, .json, .csv, .parquet."),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, sentence):
    result = convert_raw(tmp_path, name, content)
    assert result.exit_code == 2 and result.output.count("\n") == 1
    assert sentence in result.output and not (tmp_path / "out.jsonl").exists()


def test_targets(tmp_path):
    line = json.dumps(RECORD) + "\n"
    assert "source and target are the same file" in convert_raw(tmp_path, "same.jsonl", line, "same.jsonl").output
    assert "source and target are the same file" in convert_raw(tmp_path, "same.json", line, "same.json").output
    assert (tmp_path / "same.jsonl").read_text() == line
    assert "name the target .jsonl." in convert_raw(tmp_path, "in.json", line, "out.txt").output
    assert convert_raw(tmp_path, "in.json", line, "new/folder/out.jsonl").exit_code == 0
    assert len(rows_of(tmp_path / "new/folder/out.jsonl")) == 1
    result = convert_raw(tmp_path, "in.json", line, "in.json/out.jsonl")
    assert result.exit_code == 2 and "cannot be written" in result.output


def test_values_that_json_cannot_hold(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    record = {"character_profile": "A fox.", "question": "q", "answer": "a", "image": {"bytes": b"\x89PNG"}}
    pq.write_table(pa.Table.from_pylist([record]), tmp_path / "in.parquet")
    result = CliRunner().invoke(convert, ["raiden", str(tmp_path / "in.parquet"), str(tmp_path / "out.jsonl")])
    assert result.exit_code == 2 and "a value that JSON lines cannot hold" in result.output
