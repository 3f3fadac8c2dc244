import os

import pytest

from grpo_plugin.files import atomic_write, whole_folder


def test_readers_see_the_old_file_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "state.json"
    path.write_text("old")
    with atomic_write(path) as file:
        file.write_text("new")
        assert path.read_text() == "old"
        assert file.parent == tmp_path and file.suffix == ".json" and file.name.startswith(".")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "state.json"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_private_file_is_never_readable_by_others(tmp_path):
    path = tmp_path / "key"
    left_over = tmp_path / f".{os.getpid()}-key"
    left_over.touch(mode=0o644)
    with atomic_write(path, private=True) as file:
        assert file.stat().st_mode & 0o777 == 0o600
        file.write_text("secret")
    assert path.stat().st_mode & 0o777 == 0o600 and path.read_text() == "secret"


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_is_there_whole(tmp_path, there):
    path = tmp_path / "out" / "model"
    if there:
        path.mkdir(parents=True)
    with whole_folder(path) as made:
        (made / "weights").write_text("all")
        assert made.name.startswith(".") and not (path / "weights").exists()
    assert [file.name for file in path.iterdir()] == ["weights"] and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_or_not_at_all(tmp_path, error):
    with pytest.raises(error), whole_folder(tmp_path / "model") as made:
        (made / "weights").write_text("half")
        raise error
    assert not list(tmp_path.iterdir())
