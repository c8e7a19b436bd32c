"""Run a script and write down which functions of `pisft` it calls: `python watched.py <out.json> <script> <arguments>`.

Left out are those that a function calls, however indirectly, which is in no key (`LEFT_OUT`).
"""

import atexit
import inspect
import json
import runpy
import sys
import threading
from pathlib import Path

import pisft
from pisft.provenance.code import LEFT_OUT

FOLDER = str(Path(pisft.__file__).parent)
SKIPPED = {name.replace(":", ".") for name in LEFT_OUT}
called: set[tuple[str, str]] = set()


def skipped(module: str, name: str) -> bool:
    return module in SKIPPED or f"{module}.{name.split('.')[0]}" in SKIPPED


def watch(frame, event, argument) -> None:
    code = frame.f_code
    if event != "call" or not code.co_filename.startswith(FOLDER) or "<module>" in code.co_qualname:
        return
    one = (frame.f_globals.get("__name__", ""), code.co_qualname)
    is_class_body = not code.co_flags & inspect.CO_NEWLOCALS
    if not one[0].startswith("pisft.") or one in called or is_class_body:
        return
    above = frame
    while above is not None:
        if skipped(above.f_globals.get("__name__", ""), above.f_code.co_qualname):
            return
        above = above.f_back
    called.add(one)


if __name__ == "__main__":
    out, script, *arguments = sys.argv[1:]
    atexit.register(lambda: Path(out).write_text(json.dumps(sorted(called))))
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).parent)
    threading.setprofile(watch)
    sys.setprofile(watch)
    runpy.run_path(script, run_name="__main__")
