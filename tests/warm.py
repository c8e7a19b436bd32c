"""Python commands without the seconds that imports take: each is a fork of one interpreter, which has them behind it.

Start from `run`. That interpreter has imported what others wrote: the project's own code is found as a command finds it
by itself, in the copy that it is for. What a test says of imports or of starting needs an interpreter of its own.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

MODULES = (
    "snakemake.cli",
    "jinja2",
    "lerobot.datasets.lerobot_dataset",
    "matplotlib.pyplot",
    "peft",
    "scipy.spatial.transform",
    "scipy.stats",
    "torch.distributed.checkpoint",
    "torch.distributed.fsdp",
    "transformers",
    "websockets.sync.server",
)
# variables that some of these read once: with another value, a cold start
READ_ON_IMPORT = ("HF_", "HOME", "OMP_", "PISFT_ARITHMETIC", "XDG_")
ENVIRONMENT = dict(os.environ)
SERVER = r"""
import atexit, gc, importlib, json, os, runpy, sys, tempfile, threading, warnings

for name in sys.argv[1:]:
    importlib.import_module(name)
gc.freeze()


def next_command():
    for line in sys.stdin:
        with warnings.catch_warnings(action="ignore"):  # of threads, which wait for work
            child = os.fork()
        if not child:
            return json.loads(line)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    sys.exit()


def main(arguments, cwd, env, streams, anew):
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None  # TMPDIR may be another
    for name in [name for name in sys.modules if name.split(".")[0] in anew]:
        del sys.modules[name]
    for number, path in enumerate(streams):
        file = os.open(path, os.O_WRONLY if number else os.O_RDONLY)
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0)
    sys.dont_write_bytecode = bool(env.get("PYTHONDONTWRITEBYTECODE"))
    sys.path[:1] = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    kind, rest = (arguments[0], arguments[1:]) if arguments[0] in ("-m", "-c") else ("", arguments)
    sys.argv = [kind or rest[0], *rest[1:]]
    sys.path.insert(0, {"-m": cwd, "-c": ""}.get(kind, os.path.dirname(os.path.abspath(rest[0]))))
    if kind == "-c":
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    elif kind == "-m":
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(rest[0], run_name="__main__")


command, code = next_command(), 0
try:
    main(*command)
except SystemExit as end:
    code = end.code or 0
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
except BaseException:
    sys.excepthook(*sys.exc_info())
    code = 1
threading._shutdown()
atexit._run_exitfuncs()
sys.stdout.flush()
os._exit(code)  # to take down what was imported would take as long as to import it
"""


@cache
def _server() -> subprocess.Popen:
    command = [sys.executable, "-c", SERVER, *MODULES]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT | {"PYTHONPATH": ""}
    )


def run(
    arguments: Sequence[str | Path],
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    input: str = "",  # noqa: A002  as `subprocess.run` has it
    anew: Sequence[str] = (),
) -> subprocess.CompletedProcess:
    """What `python *arguments` comes to, as `subprocess.run` has it that captures text.

    `anew` are the packages that it may import anew, where what it does with `env` depends on no other.
    """
    arguments, env = [str(word) for word in arguments], dict(os.environ if env is None else env)
    changed = [name for name in env.keys() | ENVIRONMENT if env.get(name) != ENVIRONMENT.get(name)]
    if not anew and any(name.startswith(READ_ON_IMPORT) for name in changed):
        return subprocess.run(
            [sys.executable, *arguments], cwd=cwd, env=env, input=input, capture_output=True, text=True
        )
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("in", "out", "err")]
        for stream in streams:
            stream.write_text(input if stream.name == "in" else "")
        server = _server()
        command = [arguments, str(cwd or Path.cwd()), env, [str(stream) for stream in streams], list(anew)]
        print(json.dumps(command), file=server.stdin, flush=True)
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(
            [sys.executable, *arguments], code, *(stream.read_text() for stream in streams[1:])
        )
