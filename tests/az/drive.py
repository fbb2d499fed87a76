"""Runs the steps of a file with the real az, and tells of each as a line of JSON.

az is loaded once; each command runs in a fork of that process, as a new az would, only without the second it takes to load.
Nothing of az is changed: `azure.cli.core` is called as its own entry point `azure.cli` calls it.

usage: drive.py STEPS.py SECTION...   (settings come from the environment, as `lazuli az-env` prints them)
"""

import importlib.util
import json
import os
import re
import shlex
import sys
import time
import traceback


class Failed(Exception):
    """A step was not as expected."""


class Run:
    """What steps share: variables for their command lines, and the last output."""

    def __init__(self, variables):
        self.variables = variables

    def text(self, template):
        """The template with {name} replaced; braces that name no variable stay."""

        def value(match):
            return str(self.variables.get(match.group(1), match.group(0)))

        return re.sub(r"\{([a-z_0-9]+)\}", value, template)


def az(arguments, standard_input=""):
    """Runs az with these arguments in a fork. Returns its exit code, standard output and standard error."""
    folder = os.environ["LAZULI_AZ_SCRATCH"]
    names = [os.path.join(folder, name) for name in ("out", "err")]
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            out, err = (os.open(n, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600) for n in names)
            os.dup2(out, 1)
            os.dup2(err, 2)
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            sys.argv = ["az", *arguments]
            code = invoke(arguments)
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code or 0)
    _, status = os.waitpid(child, 0)
    out, err = (open(name, encoding="utf-8", errors="replace").read() for name in names)
    return os.waitstatus_to_exitcode(status), out, err


def invoke(arguments):
    """As `python -m azure.cli` does."""
    from azure.cli.core import get_default_cli

    return get_default_cli().invoke(arguments)


def load():
    """Loads what nearly all commands need, once."""
    import azure.cli.command_modules.acr  # noqa: F401
    import azure.cli.core  # noqa: F401
    import azure.cli.core._session  # noqa: F401
    import azure.mgmt.containerregistry  # noqa: F401
    import msal  # noqa: F401
    import requests  # noqa: F401


def check(step, code, out, err, run):
    """Compares what happened with what the step says."""
    wanted = step.get("exit", 0)
    told = (err.strip() or out.strip())[-600:]
    if code != wanted:
        raise Failed(f"exit code {code}, not {wanted}: {told}")
    for text in step.get("says", []):
        if run.text(text) not in out + err:
            raise Failed(f"{text!r} is not in: {told}")
    if wanted != 0:
        return
    result = None
    if out.strip():
        try:
            result = json.loads(out)
        except ValueError:
            result = out.strip()
    for path, expected in step.get("expect", {}).items():
        found = search(path, result)
        if isinstance(expected, str):
            expected = run.text(expected)
        elif isinstance(expected, list):
            expected = [run.text(item) if isinstance(item, str) else item for item in expected]
        if callable(expected):
            if not expected(found):
                raise Failed(f"{path} is {found!r} in {out[:600]}")
        elif found != expected:
            raise Failed(f"{path} is {found!r}, not {expected!r}, in {out[:600]}")
    for name, path in step.get("save", {}).items():
        found = search(path, result)
        if found is None:
            raise Failed(f"nothing at {path} in {out[:600]}")
        run.variables[name] = found


def search(path, result):
    import jmespath

    return jmespath.search(path, result)


def main():
    file, *sections = sys.argv[1:]
    spec = importlib.util.spec_from_file_location("steps", file)
    steps = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(steps)
    load()
    run = Run(dict(steps.variables()))
    failures = 0
    for section in sections:
        for step in steps.SECTIONS[section]:
            began = time.monotonic()
            line = {"section": section, "note": step.get("note", "")}
            try:
                if "do" in step:
                    line["command"] = run.text(step["name"])
                    line["template"] = step["name"]
                    step["do"](run)
                else:
                    line["template"] = "az " + step["az"]
                    line["exit"] = step.get("exit", 0)
                    command = run.text(step["az"])
                    line["command"] = "az " + command
                    code, out, err = az(shlex.split(command))
                    check(step, code, out, err, run)
                line["ok"] = True
            except Exception as error:  # noqa: BLE001
                failures += 1
                line["ok"] = False
                line["error"] = f"{type(error).__name__}: {error}"
            line["seconds"] = round(time.monotonic() - began, 2)
            print(json.dumps(line), flush=True)
            if not line["ok"] and step.get("vital"):
                print(json.dumps({"stopped": section}), flush=True)
                sys.exit(1)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
