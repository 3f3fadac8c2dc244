import os

import pytest

from grpo_plugin.files import atomic_write


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
