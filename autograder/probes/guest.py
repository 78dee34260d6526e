"""The part of `probes.python` that runs in the sandbox, in the learner's own process.

It is sent there as source and needs the standard library alone. It reads one request (JSON) from stdin and
writes one line for each thing that happens: the request's nonce, a space, a JSON list. Nothing here is a
defence: the learner's code can change all of it, and what comes out is judged as data.
"""

import contextlib
import functools
import json
import os
import sys
import types

TOP_LEVEL_AWAIT = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, as notebooks allow it
COROUTINE = 0x80  # inspect.CO_COROUTINE


def main() -> None:
    request = json.load(sys.stdin)
    say = channel(request["nonce"].encode())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    find_packages()
    silence_checks()
    notebook = types.ModuleType("__main__")
    sys.modules["__main__"] = notebook
    namespace = notebook.__dict__
    namespace.update(get_ipython=lambda: shell(notebook), display=print)
    try:
        for number, cell in enumerate(request["cells"]):
            say("cell", number)
            execute(cell, f"<cell {number + 1}>", notebook)
        for number, (name, arguments) in enumerate(request["calls"]):
            say("call", number)
            answer(say, namespace, name, arguments)
    except BaseException as error:
        say("failed", *describe(error))
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):  # they are the learner's now
                stream.flush()
        os._exit(0)  # no handlers, no waiting for threads


def plain(value):
    """What JSON does not know but numbers in arrays, tensors and columns: all of them have `tolist`."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def channel(nonce: bytes):
    """A function that tells the judge something. It keeps the real stdout; what is printed goes to stderr."""
    encode = json.JSONEncoder(allow_nan=False, default=plain).encode
    write, descriptor = os.write, os.dup(1)
    os.dup2(2, 1)

    def say(*message):
        rest = nonce + b" " + encode(message).encode() + b"\n"
        while rest:
            rest = rest[write(descriptor, rest) :]

    return say


def find_packages() -> None:
    """Make packages importable. Python was started without `site`, whose start-up files cost 0.02 s."""
    import site

    environment = os.path.dirname(os.path.dirname(sys.executable))
    if os.path.exists(os.path.join(environment, "pyvenv.cfg")):
        sys.prefix = sys.exec_prefix = environment
    sys.path.insert(0, os.getcwd())
    sys.path += filter(os.path.isdir, site.getsitepackages([sys.prefix]))


def silence_checks() -> None:
    """`from autograder import check` works in every notebook. Here the judge asks; a check says nothing."""
    judge = types.ModuleType("autograder")
    judge.__dict__["check"] = lambda id: None
    sys.modules["autograder"] = judge


def execute(cell: str, name: str, notebook: types.ModuleType) -> None:
    namespace = notebook.__dict__
    try:
        code = compile(cell, name, "exec", TOP_LEVEL_AWAIT)
    except SyntaxError:
        plain = shell(notebook).transform_cell(cell)  # magics and shell commands
        code = compile(plain, name, "exec", TOP_LEVEL_AWAIT)
    result = eval(code, namespace)
    if code.co_flags & COROUTINE:
        import asyncio

        asyncio.run(result)


@functools.cache
def shell(notebook: types.ModuleType):
    """IPython, only for cells that want it: importing it takes longer than everything else here."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Shell(InteractiveShell):
        def enable_gui(self, gui=None):
            """There is none; `%matplotlib inline` asks nevertheless."""

    quiet = Config(HistoryManager={"enabled": False})
    return Shell.instance(config=quiet, user_module=notebook)


def answer(say, namespace, name, arguments) -> None:
    function = namespace.get(name)
    if not callable(function):
        say("absent", type(function).__name__ if name in namespace else "")
        return
    try:
        value = function(*arguments)
    except BaseException as error:
        say("raised", *describe(error))
        return
    try:
        say("returned", value)
    except BaseException as error:
        say("unusable", type(value).__name__, *describe(error))


def describe(error: BaseException) -> tuple[str, str]:
    try:
        return type(error).__name__, str(error)[:1000]
    except BaseException:
        return type(error).__name__, ""


main()
