"""The package's door: plugins by name, and no silence where one cannot be had."""

import pytest
from axolotl.integrations.base import load_plugin

import grpo_plugin
from grpo_plugin.config.plugin_modules import PLUGINS
from grpo_plugin.errors import GrpoPluginError


def test_a_plugin_whose_import_fails_stops_axolotl(monkeypatch):
    """Axolotl takes an ImportError for a plugin that is not there, and goes on."""
    monkeypatch.setitem(PLUGINS, "RewardPlugin", "grpo_plugin.no_such_room")
    with pytest.raises(GrpoPluginError, match=r"grpo_plugin.RewardPlugin: cannot be imported \(No module named"):
        load_plugin("grpo_plugin.RewardPlugin")


def test_every_plugin_can_be_had_by_name():
    assert {load_plugin(f"grpo_plugin.{name}").__class__.__name__ for name in PLUGINS} == set(PLUGINS)


def test_an_unknown_name_is_answered_with_those_there_are():
    with pytest.raises(AttributeError, match="its plugins are PromptPlugin"):
        grpo_plugin.RolloutPlugins  # noqa: B018
