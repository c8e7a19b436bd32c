"""What the scripts of a project make of their arguments, without running them: a fork for each, of one interpreter.

Start from `parse`. Each script stops where it has its arguments; what it imports to get there is imported for real.
"""

import json

from typed_project import Project

RUNNER = r"""
import argparse, contextlib, importlib, io, json, os, runpy, sys

class Parsed(BaseException):
    pass

real, depth = argparse.ArgumentParser.parse_known_args, 0

def known(parser, args, namespace, leftover):
    global depth
    depth += 1
    try:
        found, unknown = real(parser, args, namespace)
    finally:
        depth -= 1
    if depth:  # a subcommand's, called by its parent's
        return found, unknown
    refused = [word for word in unknown if word.startswith("-") or not leftover]
    raise Parsed(f"unrecognized arguments: {refused}" if refused else "")

def parse_known_args(self, args=None, namespace=None):
    return known(self, args, namespace, leftover=True)

def parse_args(self, args=None, namespace=None):
    return known(self, args, namespace, leftover=False)

argparse.ArgumentParser.parse_known_args, argparse.ArgumentParser.parse_args = parse_known_args, parse_args
sys.path[:0] = ["scripts", "tools", "benchmarks"]

def said(script, arguments):
    sys.argv = [script, *arguments]
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            runpy.run_path(script, run_name="__main__")
            error = "it read no arguments"
        except Parsed as parsed:
            error = str(parsed)
        except SystemExit as end:
            error = "" if not end.code else output.getvalue()[-800:] or str(end.code)
        except BaseException as failure:
            error = f"{type(failure).__name__}: {failure}"
    return [error, output.getvalue()]

for name in (  # what many scripts import, once
    "lerobot.datasets.lerobot_dataset", "transformers", "peft", "torch.distributed.checkpoint",
    "torch.distributed.fsdp", "scipy.stats", "matplotlib.pyplot", "pydantic.main", "yaml", "jinja2",
):
    importlib.import_module(name)
jobs = json.load(sys.stdin)
for script in dict.fromkeys(script for script, _ in jobs):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        answers = [[script, arguments, *said(script, arguments)] for s, arguments in jobs if s == script]
        with os.fdopen(writer, "w") as pipe:
            json.dump(answers, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        print(pipe.read() or json.dumps([[script, [], "it ended without an answer", ""]]))
    os.wait()
"""


def parse(project: Project, jobs: list[tuple[str, list[str]]]) -> dict[str, tuple[str, str]]:
    """`<script> <arguments>` → (why they are refused or "", what was printed), of each (script, arguments).

    Scripts are paths in the project, such as scripts/train.py.
    """
    done = project.python("-c", RUNNER, input=json.dumps(jobs), PYTHONDONTWRITEBYTECODE="")
    answers = [answer for line in done.stdout.splitlines() for answer in json.loads(line)]
    return {" ".join([script, *arguments]): (error, output) for script, arguments, error, output in answers}
