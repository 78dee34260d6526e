"""Programs that attack the sandbox or the judge: what the judge sees, and that nothing is left of them."""

import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autograder.errors import LearnerError
from autograder.probes.python import Functions, Raised, Returned
from autograder.sandbox import Completed, Limits
from autograder.sandbox.bubblewrap import Bubblewrap

pytestmark = pytest.mark.needs("bubblewrap")

MB = 1 << 20
ADD = "def add(a, b):\n    return a + b"


class Arena:
    """A sandbox whose programs can be told from all others by their environment."""

    name = "arena"

    def __init__(self, folder: Path):
        self.sandbox = Bubblewrap()
        self.folder = folder
        self.mark = uuid.uuid4().hex

    def run(self, command, *, folder, stdin=b"", limits=Limits()):  # noqa: B008, as in Sandbox
        return self.sandbox.run(
            command, folder=folder, stdin=stdin, env={"MARK": self.mark}, limits=limits
        )

    def attack(self, code: str, **limits: float) -> Completed:
        """Run `code` with another, honest job beside it and one after it."""
        with ThreadPoolExecutor(1) as beside:
            sane = beside.submit(self.sane)
            completed = self.run(
                ["python", "-I", "-S", "-c", code],
                folder=self.folder,
                limits=Limits(**{"seconds": 5, **limits}),
            )
            sane.result()
        self.sane()
        return completed

    def calls(self, *cells: str, calls=(("f", []),), **limits: float):
        notebook = Functions(cells, self, Limits(**{"seconds": 5, **limits}))
        try:
            return notebook.call_many(calls)
        finally:
            self.sane()

    def refused(self, *cells: str, **limits: float) -> str:
        with pytest.raises(LearnerError) as caught:
            self.calls(*cells, **limits)
        assert caught.value.advice.endswith(".")
        return caught.value.seen

    def sane(self) -> None:
        assert Functions([ADD], self, Limits(seconds=20)).call("add", 1, 2) == 3

    def processes(self) -> list[int]:
        return [pid for pid in pids() if self.mark in environment(pid)]


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def environment(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError:
        return ""


@pytest.fixture
def arena(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Arena]:
    """Fails if a process, a mount or a temporary file outlives the test."""
    temporary, folder = tmp_path / "temporary", tmp_path / "submission"
    temporary.mkdir()
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    arena = Arena(folder)
    yield arena
    assert not arena.processes()
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    assert not list(temporary.iterdir())
    assert not list(folder.iterdir())


def test_01_endless_loop(arena: Arena):
    completed = arena.attack("while True: pass", seconds=0.5)
    assert (completed.stopped, completed.status) == ("time", -9)
    assert completed.seconds < 2
    assert "did not finish within 0.5 seconds" in arena.refused(
        "def f():\n    while True: pass", seconds=0.5
    )


def test_02_loop_that_ignores_signals(arena: Arena):
    completed = arena.attack(
        "import signal\n"
        "for number in signal.valid_signals():\n"
        "    try: signal.signal(number, signal.SIG_IGN)\n"
        "    except OSError: pass\n"
        "while True: pass",
        seconds=0.5,
    )
    assert completed.stopped == "time"
    assert completed.seconds < 2


def test_03_fork_bomb(arena: Arena):
    """The kernel itself limits the number, without help from the watcher, which comes by now and then.

    bwrap's own process counts where it has the same user: where the judge is not root.
    """
    counted = arena.attack(
        "import os, signal\n"
        "born = 0\n"
        "try:\n"
        "    while True:\n"
        "        if os.fork() == 0: signal.pause()\n"
        "        born += 1\n"
        "except BlockingIOError: print(born)",
        processes=16,
    )
    assert int(counted.stdout) in (14, 15)
    bomb = arena.attack(
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        seconds=0.5,
        processes=16,
    )
    assert bomb.stopped == "time"


def test_03_fork_bomb_of_threads(arena: Arena):
    counted = arena.attack(
        "import _thread, time\n"
        "born = 0\n"
        "try:\n"
        "    while True:\n"
        "        _thread.start_new_thread(time.sleep, (9,))\n"
        "        born += 1\n"
        "except RuntimeError: print(born, flush=True)\n"
        "import os; os._exit(0)",
        processes=16,
    )
    assert int(counted.stdout) in (14, 15)


def test_04_memory_bomb(arena: Arena):
    completed = arena.attack("x = bytearray(1 << 40)", memory=64 * MB)
    assert b"MemoryError" in completed.stderr
    slow = arena.attack("x = []\nwhile True: x.append(bytes(1 << 20))", memory=64 * MB)
    assert b"MemoryError" in slow.stderr


@pytest.mark.parametrize(
    "hold",
    [
        "x = bytearray(32 << 20)",
        "import mmap; x = mmap.mmap(-1, 32 << 20); x.write(bytes(32 << 20))",
    ],
    ids=["private", "shared"],
)
def test_04_memory_bomb_across_forks(arena: Arena, hold: str):
    completed = arena.attack(
        f"import os, signal\nfor _ in range(7):\n    if os.fork() == 0:\n        {hold}\n"
        "        signal.pause()\nsignal.pause()",
        memory=128 * MB,
    )
    assert completed.stopped == "memory"
    assert completed.seconds < 3


def test_04_memory_that_belongs_to_no_process(arena: Arena):
    completed = arena.attack(
        "import os, ctypes\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "try: os.memfd_create('x')\n"
        "except OSError as error: print(error.errno)\n"
        "for call in (lambda: libc.shmget(0, 1 << 30, 0o1600), lambda: libc.msgget(0, 0o1600)):\n"
        "    print(call(), ctypes.get_errno())"
    )
    assert completed.stdout.split() == [b"1", b"-1", b"1", b"-1", b"1"]


def test_04_memory_in_sockets(arena: Arena):
    """What is sent and never received belongs to no process either."""
    completed = arena.attack(
        "import os, signal, socket\n"
        "for _ in range(3): os.fork()\n"
        "pairs = []\n"
        "try:\n"
        "    while True: pairs.append(socket.socketpair())\n"
        "except OSError: signal.pause()"
    )
    assert completed.stopped == "memory"
    buffers = arena.attack(
        "import socket\n"
        "a, b = socket.socketpair()\n"
        "for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):\n"
        "    before = a.getsockopt(socket.SOL_SOCKET, option)\n"
        "    a.setsockopt(socket.SOL_SOCKET, option, 2000)\n"
        "    print(a.getsockopt(socket.SOL_SOCKET, option) == before)\n"
        "a.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)\n"
        "print(a.getsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED))"
    )
    assert buffers.stdout.split() == [b"True", b"True", b"1"]


def test_05_a_gigabyte_of_stdout(arena: Arena):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    completed = arena.attack(
        "import os\nblock = bytes(1 << 20)\nfor _ in range(1024): os.write(1, block); os.write(2, block)",
        output=MB,
    )
    assert completed.stopped == "output"
    assert len(completed.stdout) == MB
    assert len(completed.stderr) <= MB
    assert completed.seconds < 2
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 16 * 1024  # KiB
    assert "printed without end" in arena.refused(
        "while True: print('x' * 1_000_000)", output=10_000
    )


def test_06_disk_fill(arena: Arena):
    arena.folder.chmod(0o777)  # that it may write there by its rights does not help
    completed = arena.attack(
        "import os\n"
        "for place in ('/tmp', '/dev/shm'):\n"
        "    written = 0\n"
        "    try:\n"
        "        for number in range(100):\n"
        "            with open(f'{place}/{number}', 'wb', 0) as file: written += file.write(bytes(100_000))\n"
        "    except OSError: print(written)\n"
        "for place in ('/', '/dev', '/etc', '/run', '/work', '/usr', '/venv', '/proc', '/home'):\n"
        "    try: open(f'{place}/new', 'w'); print(place)\n"
        "    except OSError: pass",
        disk=MB,
    )
    written = [int(line) for line in completed.stdout.split()]
    assert len(written) == 2
    assert max(written) <= MB


def test_06_inode_fill(arena: Arena):
    completed = arena.attack(
        "import itertools, os\nfor n in itertools.count(): os.mkdir(f'/tmp/{n}')"
    )
    assert completed.stopped == "disk"


@pytest.mark.parametrize(
    "fill",
    [
        "for n in itertools.count(): os.mkdir(f'/run/judge/{n}')",
        "for n in range(20): open(f'/run/judge/{n}', 'wb').write(bytes(100_000))",
    ],
    ids=["inodes", "bytes"],
)
def test_06_fill_of_the_folder_for_sockets(arena: Arena, tmp_path: Path, fill: str):
    sockets = tmp_path / "sockets"
    sockets.mkdir()
    with arena.sandbox.start(
        [
            "python",
            "-I",
            "-S",
            "-c",
            f"import itertools, os\n{fill}\nos.read(0, 1); import time; time.sleep(9)",
        ],
        folder=arena.folder,
        sockets=sockets,
        limits=Limits(disk=MB),
    ) as running:
        assert running.wait(5) == -9
        assert running.stopped == "disk"


def test_22_files_that_shadow_the_judges(arena: Arena):
    for name in ("sitecustomize", "usercustomize", "json", "site", "types", "IPython"):
        (arena.folder / f"{name}.py").write_text("import os\nos._exit(0)")
    (arena.folder / "pyvenv.cfg").write_text("home = /work")
    honest = Functions(["def f(): return 1"], arena, folder=arena.folder)
    try:
        assert honest.call("f") == 1
    finally:
        for path in arena.folder.iterdir():
            path.unlink()


@pytest.mark.parametrize(
    "end", ["os._exit(0)", "sys.exit(0)", "os.kill(os.getpid(), 9)"]
)
def test_23_exit(arena: Arena, end: str):
    cell = f"import os, sys\n{end}"
    assert "The cell that begins with `import os, sys`" in arena.refused(cell, ADD)
    if end == "sys.exit(0)":
        assert arena.calls(f"import sys\ndef f(): {end}") == [Raised("SystemExit", "0")]
    else:
        seen = arena.refused(f"import os\ndef f(): {end}")
        assert seen.startswith("`f` ended the whole program")


def test_24_overridden_builtins_and_eq(arena: Arena):
    """Values cross as JSON, so that no method of theirs comes along."""
    replaced = (
        "import builtins, json, os\n"
        "def nothing(*a, **k): return None\n"
        "for name in ('print', 'open', 'isinstance', '__import__', 'type', 'str', 'callable'):\n"
        "    setattr(builtins, name, nothing)\n"
        "json.dumps = json.loads = os.write = nothing"
    )
    with pytest.raises(LearnerError):
        arena.calls(replaced, "def f(): return 1 // 0")
    agreeable = (
        "class Yes({base}):\n"
        "    def __eq__(self, other): return True\n"
        "    def __ne__(self, other): return False\n"
        "    __hash__ = None\n"
        "def f(): return Yes({value})"
    )
    for base, value in (("int", 1), ("str", "'a'"), ("float", 1.5), ("list", [1])):
        (result,) = arena.calls(agreeable.format(base=base, value=value))
        assert result == Returned(eval(str(value)))
        assert type(result.value).__name__ == base
    assert "cannot read" in arena.refused(agreeable.format(base="object", value=""))


def test_25_ast_and_showtraceback_hooks(arena: Arena):
    hooks = (
        "import ast, sys\n"
        "shell = get_ipython()\n"
        "class Drop(ast.NodeTransformer):\n"
        "    def visit_Assert(self, node): return ast.Pass()\n"
        "    def visit_Raise(self, node): return ast.Pass()\n"
        "shell.ast_transformers.append(Drop())\n"
        "shell.input_transformers_cleanup.append(lambda lines: ['pass'])\n"
        "type(shell).showtraceback = lambda *a, **k: None\n"
        "sys.excepthook = lambda *a: None\n"
        "def f():\n    raise ValueError('no')"
    )
    assert arena.calls(hooks) == [Raised("ValueError", "no")]
    assert "raised AssertionError" in arena.refused(hooks, "assert False")


FORGER = (
    "import json, os, sys\n"
    "frame = sys._getframe()\n"
    "while 'say' not in frame.f_locals: frame = frame.f_back\n"
    "say = frame.f_locals['say']\n"
)


def test_26_forged_answers_gain_nothing(arena: Arena):
    """A forger who answers in place of the function gives the judge a value to compare, and no more."""
    early = "say('call', 0); say('returned', 41); say('call', 1); say('returned', 42); os._exit(0)"
    assert arena.calls(FORGER + early, calls=[("f", []), ("g", [])]) == [
        Returned(41),
        Returned(42),
    ]


@pytest.mark.parametrize(
    "lines",
    [
        "say('returned', 42)",
        "say('call', 0); say('returned', 1); say('returned', 2)",
        "say('call', 7); say('returned', 1)",
        "say('passed', 100)",
        "say('raised', 1, [2])",
        "say()",
        "say({'points': 100})",
    ],
)
def test_26_forged_lines_out_of_order(arena: Arena, lines: str):
    assert "could not be read" in arena.refused(f"{FORGER}{lines}\nos._exit(0)")


@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "Infinity",
        "1e999",
        "9" * 5000,
        "[" * 100_000,
        '{"a": 1, "a": 2}',
        r'"\ud800"',
        r'"\xff"',
        "1 2",
        "",
    ],
    ids=[
        "nan",
        "infinity",
        "1e999",
        "digits",
        "deep",
        "twice",
        "surrogate",
        "bytes",
        "two",
        "none",
    ],
)
def test_26_forged_values(arena: Arena, value: str):
    assert arena.calls(forge("41")) == [Returned(41)]  # the forgery as such works
    assert "could not be read" in arena.refused(forge(value))


def forge(value: str) -> str:
    """A cell that writes a line as the guest would, with any text for the value."""
    return (
        f"cells = {FORGER!r}\n"
        "exec(cells)\n"
        "nonce = say.__closure__[[*say.__code__.co_freevars].index('nonce')].cell_contents\n"
        "out = say.__closure__[[*say.__code__.co_freevars].index('descriptor')].cell_contents\n"
        "say('call', 0)\n"
        f"line = b' [\"returned\", ' + {value!r}.encode('latin-1').replace(b'\\\\xff', b'\\xff') + b']\\n'\n"
        "os.write(out, nonce + line)\nos._exit(0)"
    )


def test_26_last_line_of_stdout_and_atexit(arena: Arena):
    prints = (
        "import atexit, json, os\n"
        "line = json.dumps(['returned', 42])\n"
        "atexit.register(lambda: os.write(1, line.encode() + b'\\n'))\n"
        "print(line, flush=True)\n"
        "def f():\n    print(line, flush=True); os.write(1, line.encode()); return 1"
    )
    assert arena.calls(prints) == [Returned(1)]


def test_27_pickle_payload(arena: Arena, tmp_path: Path):
    planted = tmp_path / "planted"
    payload = (
        "import os, pickle, base64\n"
        "class Payload:\n"
        f"    def __reduce__(self): return (os.mkdir, ({str(planted)!r},))\n"
        "def f(): return Payload()\n"
        "def g(): return base64.b64encode(pickle.dumps(Payload())).decode()"
    )
    assert "type Payload" in arena.refused(payload)
    (result,) = arena.calls(payload, calls=[("g", [])])
    assert isinstance(result.value, str)
    assert not planted.exists()


def test_29_hidden_checks_and_other_submissions_are_out_of_sight(
    arena: Arena, tmp_path: Path
):
    other = tmp_path / "gradebook.db"
    other.write_text("points")
    (tmp_path / "temporary" / "peer").mkdir()
    checkout = Path(__file__).parents[2]
    secret = [
        other,
        tmp_path / "temporary" / "peer",
        checkout / "autograder",
        checkout / "tests",
        checkout / "assignments",
        Path.home() / ".bashrc",
        Path("/etc/shadow"),
        Path("/var/lib"),
        Path("/run/docker.sock"),
        Path("/sys"),
    ]
    try:
        completed = arena.attack(
            "import glob, os\n"
            f"secret = {[str(path) for path in secret]}\n"
            "roots = ['', *glob.glob('/proc/*/root'), *glob.glob('/proc/*/cwd/..')]\n"
            "print([root + path for root in roots for path in secret if os.path.exists(root + path)])\n"
            "import site, sys\n"  # with the files that make a checkout importable
            "site.addsitedir('/venv/lib/python%d.%d/site-packages' % sys.version_info[:2])\n"
            "try: import autograder\n"
            "except ImportError: print('no autograder')"
        )
    finally:
        (tmp_path / "temporary" / "peer").rmdir()
    assert completed.stdout.decode().split("\n") == ["[]", "no autograder", ""]


def test_30_frames_and_gc_hold_inputs_but_no_truth(arena: Arena):
    given, truth = uuid.uuid4().hex, uuid.uuid4().hex
    search = (
        "import gc, re, sys\n"
        "def f(x):\n"
        "    frame, seen = sys._getframe(), []\n"
        "    while frame: seen.append(repr(frame.f_locals)); frame = frame.f_back\n"
        "    seen += [repr(each) for each in gc.get_objects() if type(each) in (list, tuple, dict)]\n"
        "    return sorted(set(re.findall('[0-9a-f]{32}', ' '.join(seen))))"
    )
    (result,) = arena.calls(search, calls=[("f", [given])])
    assert given in result.value  # the search finds what is there
    assert truth not in result.value


def test_33_no_way_out(arena: Arena):
    """Neither addresses nor names, the machine's own services, nor the host of a virtual machine."""
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind(f"\0{arena.mark}")
    abstract.listen()
    with socket.create_server(("127.0.0.1", 0)) as server, abstract:
        completed = arena.attack(
            "import socket\n"
            f"places = [(2, ('1.1.1.1', 53)), (2, ('169.254.169.254', 80)), (2, {server.getsockname()}),\n"
            f"          (10, ('2606:4700:4700::1111', 53)), (1, '\\0{arena.mark}')]\n"
            "for family, address in places:\n"
            "    try:\n"
            "        with socket.socket(family) as s: s.settimeout(1); s.connect(address); print(address)\n"
            "    except OSError: pass\n"
            "for family, kind in ((38, 5), (40, 1)):\n"  # ciphers; the host of a virtual machine
            "    try: socket.socket(family, kind); print(family)\n"
            "    except OSError: pass\n"
            "try: print(socket.getaddrinfo('pypi.org', 443))\n"
            "except OSError: pass\n"
            "with socket.socket(2, socket.SOCK_DGRAM) as s:\n"
            "    try: s.sendto(b'x', ('1.1.1.1', 53)); print('datagram')\n"
            "    except OSError: pass\n"
            "print([name for _, name in socket.if_nameindex()])"
        )
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert completed.stdout == b"['lo']\n"


def test_34_surviving_daemon(arena: Arena):
    """When the judge goes on, they are dead, not dying: all twenty, with what they hold."""
    completed = arena.attack(
        "import os, signal, time\n"
        "for _ in range(20):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        if os.fork() == 0:\n"
        "            for number in (1, 2, 3, 15): signal.signal(number, signal.SIG_IGN)\n"
        "            for fd in (0, 1, 2): os.close(fd)\n"
        "            ballast = bytearray(10 << 20)\n"
        "            while True: time.sleep(1)\n"
        "        os._exit(0)\n"
        "for _ in range(20): os.wait()\n"
        "print('done')"
    )
    left = arena.processes()
    assert (completed.status, completed.stdout) == (0, b"done\n")
    assert completed.seconds < 4  # nobody waits for them
    assert not left


def test_35_no_tmp_or_processes_in_common(arena: Arena):
    look = (
        "import os, time\n"
        "print(sorted(os.listdir('/tmp') + os.listdir('/dev/shm')), "
        "[pid for pid in os.listdir('/proc') if pid.isdigit()])\n"
        "for place in ('/tmp', '/dev/shm'): open(f'{place}/mine', 'w').close()\n"
        "time.sleep(0.3)"
    )
    with ThreadPoolExecutor(2) as both:
        first, second = both.map(arena.attack, [look, look])
    assert first.stdout == second.stdout == b"[] ['1', '2']\n"


def test_36_clock(arena: Arena):
    apart = time.time() - time.monotonic()
    completed = arena.attack(
        "import ctypes, time\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "try: time.clock_settime(time.CLOCK_REALTIME, 0)\n"
        "except PermissionError: print('refused')\n"
        "print(libc.settimeofday((ctypes.c_long * 2)(0, 0), None), libc.unshare(0x80))"
    )
    assert completed.stdout.split() == [b"refused", b"-1", b"-1"]
    assert abs(time.time() - time.monotonic() - apart) < 1


def test_no_namespaces_of_its_own(arena: Arena):
    """In one, a program could mount file systems that no limit counts."""
    completed = arena.attack(
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "USER = 0x10000000\n"
        "clone = 56 if os.uname().machine == 'x86_64' else 220\n"
        "print(libc.unshare(USER), libc.syscall(clone, USER | 17, 0, 0, 0, 0))\n"
        "print(libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))"
    )
    assert completed.stdout.split() == [b"-1"] * 3


def test_37_no_devices_and_no_sockets_of_engines(arena: Arena):
    completed = arena.attack(
        "import os, stat, sys\n"
        "print(sorted(n for n in os.listdir('/dev') if not os.path.islink(f'/dev/{n}')))\n"
        "known = ('/proc', '/usr', '/venv', sys.base_prefix)\n"
        "for place, folders, files in os.walk('/'):\n"
        "    folders[:] = [n for n in folders if os.path.join(place, n) not in known]\n"
        "    for name in files:\n"
        "        mode = os.lstat(os.path.join(place, name)).st_mode\n"
        "        if stat.S_ISSOCK(mode) or stat.S_ISBLK(mode): print(place, name)"
    )
    harmless = ["full", "null", "pts", "random", "shm", "tty", "urandom", "zero"]
    assert completed.stdout.decode() == f"{harmless}\n"


def test_38_interpreter_death(arena: Arena):
    fall = "import ctypes; ctypes.string_at(0)"
    assert arena.attack(fall).status == -11
    assert "(signal SIGSEGV)" in arena.refused(f"def f(): {fall}".replace("; ", ";"))


def test_39_two_jobs_on_the_same_port(arena: Arena):
    listen = (
        "import socket, time\n"
        "with socket.create_server(('127.0.0.1', 8000)): time.sleep(0.5); print('had it')"
    )
    with ThreadPoolExecutor(2) as both:
        for completed in both.map(arena.attack, [listen, listen]):
            assert completed.stdout == b"had it\n"


KILLED = """
import sys
from pathlib import Path
from autograder.sandbox.bubblewrap import Bubblewrap
Bubblewrap().run(["sleep", "60"], folder=Path(sys.argv[1]), env={"MARK": sys.argv[2]})
"""


def test_40_a_judge_that_is_killed_takes_its_jobs_along(arena: Arena):
    command = [sys.executable, "-c", KILLED, str(arena.folder), arena.mark]
    with subprocess.Popen(command) as judge:
        until(arena.processes)
        judge.kill()
    until(lambda: not arena.processes())


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
