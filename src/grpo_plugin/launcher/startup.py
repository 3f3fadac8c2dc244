"""Runs at every interpreter start of this environment (zz_grpo_plugin.pth), and so must cost nothing.

It adds an import hook for one module, `axolotl.cli.main`, which only the `axolotl` command imports. When that happens
the hook hands the module to `compat.axolotl_cli`, with the two functions here that run before Axolotl. In every other
program it defines one class and appends it to a list.
"""

import sys

TARGET = "axolotl.cli.main"


class _AxolotlCommand:
    """A meta path finder for TARGET, which removes itself once TARGET is imported."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != TARGET:
            return None
        sys.meta_path.remove(_AxolotlCommand)
        from grpo_plugin.compat import axolotl_cli

        return axolotl_cli.spec(name, before=_prepare, config_first=_config_first)


def _prepare(words):
    from grpo_plugin.launcher.launch import before_axolotl

    before_axolotl(words)


def _config_first(words, with_value):
    from grpo_plugin.launcher.arguments import config_first, without_own

    # Nothing keeps the overrides of our blocks for other commands, which would go on without them in silence.
    trains = sys.argv[1:2] == ["train"]
    return config_first(without_own(words) if trains else words, with_value)


if _AxolotlCommand not in sys.meta_path:
    sys.meta_path.insert(0, _AxolotlCommand)
