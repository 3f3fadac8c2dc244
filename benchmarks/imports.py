"""How long this package takes before it is used: at every interpreter start, by `import`, and for reading a recipe.

python benchmarks/imports.py
"""

import re
import statistics
import subprocess
import sys

RUNS = 15


def milliseconds(module: str, code: str = "pass") -> float:
    """Median of what Python's own `-X importtime` gives for a module and all it imports."""
    times = []
    for _ in range(RUNS):
        report = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True).stderr
        times.append(int(re.search(rf"\|\s+(\d+) \| +{re.escape(module)}$", report, re.MULTILINE)[1]) / 1000)
    return statistics.median(times)


def heavy(code: str) -> list[str]:
    script = f"{code}\nimport sys; print(*(m for m in ('torch', 'vllm', 'transformers') if m in sys.modules))"
    return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()


def main() -> None:
    print(
        f"interpreter start         {milliseconds('grpo_plugin.launcher.startup'):7.1f} ms, import grpo_plugin included"
    )
    print(f"import grpo_plugin        {milliseconds('grpo_plugin'):7.1f} ms")
    recipe = "grpo_plugin.recipe"
    print(f"import grpo_plugin.recipe {milliseconds(recipe, f'import {recipe}'):7.1f} ms")
    for code in ("import grpo_plugin", "import grpo_plugin.recipe"):
        print(f"{code} loads {' '.join(heavy(code)) or 'neither torch nor vllm nor transformers'}")


if __name__ == "__main__":
    main()
