"""Puts the start-up file beside the package, in wheels and in editable installs alike."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STARTUP = "src/grpo_plugin/launcher/zz_grpo_plugin.pth"


class StartupFile(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        build_data["force_include"][STARTUP] = "zz_grpo_plugin.pth"
        build_data["force_include_editable"][STARTUP] = "zz_grpo_plugin.pth"
