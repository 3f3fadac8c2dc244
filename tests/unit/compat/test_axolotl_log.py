import subprocess
import sys

PROGRAM = """
import logging, os, sys
from pathlib import Path
from grpo_plugin.compat import axolotl_log
from axolotl.utils.dict import DictDefault
from axolotl.utils.tee import prepare_debug_log
logging.getLogger("axolotl").addHandler(logging.StreamHandler(sys.stdout))
logging.getLogger().addHandler(logging.StreamHandler(sys.stderr))
out = Path("out")
axolotl_log.append(out)
axolotl_log.append(out)
prepare_debug_log(DictDefault(output_dir="out"))  # Axolotl's own call, which would empty the file
kinds = [(type(handler).__name__, handler.stream is sys.stdout) for name in ("", "axolotl")
         for handler in logging.getLogger(name).handlers if isinstance(handler, logging.StreamHandler)]
print("on stdout:", [kind for kind in kinds if kind[1]], "elsewhere:", len(kinds) >= 1)
print(os.environ["AXOLOTL_TEE_STDOUT"])
"""


def test_the_debug_log_is_appended_to_and_written_once(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "debug.log").write_text("what libraries have said before\n")
    run = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "on stdout: [] elsewhere: True\n0\n"
    assert (tmp_path / "out" / "debug.log").read_text().startswith("what libraries have said before\n")
