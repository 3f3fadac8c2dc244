"""Trackio as Axolotl pins it; a run that it records is in tests/integration/test_training.py."""

import sys
from types import SimpleNamespace

from grpo_plugin.compat import trackio_init


def test_an_older_trackio_ignores_the_bucket_and_a_newer_one_is_left_alone(monkeypatch):
    given = []
    older = SimpleNamespace(init=lambda project, name=None: given.append((project, name)))
    monkeypatch.setitem(sys.modules, "trackio", older)
    trackio_init.install()
    once = older.init
    trackio_init.install()
    assert older.init is once
    older.init(project="sums", name="one", bucket_id=None)
    assert given == [("sums", "one")]
    newer = SimpleNamespace(init=lambda project, bucket_id=None: None)
    stock = newer.init
    monkeypatch.setitem(sys.modules, "trackio", newer)
    trackio_init.install()
    assert newer.init is stock


def test_the_keys_of_the_recipe_reach_transformers():
    keys = {"use_trackio": True, "trackio_project_name": "sums", "trackio_space_id": None}
    assert trackio_init.training_arguments(SimpleNamespace(**keys)) == {"project": "sums"}
    assert trackio_init.training_arguments(SimpleNamespace(**keys | {"use_trackio": False})) == {}
