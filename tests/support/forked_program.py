"""A program that is `deploywatch` to a shell script, and takes no half second to import itself each time."""

from __future__ import annotations

import contextlib
import marshal
import os
import shutil
import socket
import sys
import tempfile
import time
import traceback
from functools import cache
from pathlib import Path

from tests.support.forked import SERVER, command

_LONGEST = 1 << 20

# It hands its arguments, folder, environment and streams over, passes signals on, and ends as what was forked ends.
_PROGRAM = """\
#!{python} -IS
import marshal, os, signal, socket, sys
other = socket.socket(socket.AF_UNIX)
other.connect({path!r})
about = marshal.dumps((sys.argv[1:], os.getcwd(), dict(os.environ)))
socket.send_fds(other, [len(about).to_bytes(8, "big")], [0, 1, 2])
other.sendall(about)
process = int.from_bytes(other.recv(8), "big")
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: os.kill(process, number))
code = other.recv(8)
sys.exit(int.from_bytes(code, "big") if code else 137)
"""


def write(path: Path) -> None:
    """Write the program."""
    path.write_text(_PROGRAM.format(python=sys.executable, path=str(_server())))
    path.chmod(0o755)


@cache
def _server() -> Path:
    """Where whatever is forked for the programs of this session is asked for; started once."""
    folder = Path(tempfile.mkdtemp(prefix="deploywatch-forked-"))
    path = folder / "socket"
    process = SERVER.Process(target=_serve, args=(str(path), os.getpid()), daemon=True)
    process.start()
    while not path.exists():
        assert process.is_alive()
        time.sleep(0.01)
    return path


def _serve(path: str, parent: int) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{path}.new")
    listener.listen(16)
    listener.settimeout(5)
    Path(f"{path}.new").rename(path)
    while Path(f"/proc/{parent}").exists():
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        with contextlib.suppress(TimeoutError):
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _answer(connection)
            connection.close()
    shutil.rmtree(Path(path).parent, ignore_errors=True)


def _answer(connection: socket.socket) -> None:
    """Be the command that the program was started as; does not return."""
    connection.settimeout(None)
    size, streams, _, _ = socket.recv_fds(connection, 8, 3)
    about = b""
    while len(about) < int.from_bytes(size, "big"):
        about += connection.recv(_LONGEST)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    arguments, folder, environment = marshal.loads(about)  # noqa: S302 - the program's own
    connection.sendall(os.getpid().to_bytes(8, "big"))
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as the process lives
    code = 0
    try:
        command(arguments)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
        if isinstance(ended.code, str):
            sys.stderr.write(f"{ended.code}\n")
    except BaseException:
        traceback.print_exc()
        code = 1
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    connection.sendall(code.to_bytes(8, "big"))
    os._exit(0)
