"""Run a program and measure it: wall and CPU seconds, peak memory, and when each line of a file of its appeared."""
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field

POLL_SECONDS, MEMORY_SECONDS = 0.02, 0.4


@dataclass
class Measured:
    """What one run took; `lines` are (seconds since the start, text) of the file that was followed."""
    wall: float = 0.0
    cpu: float = 0.0
    peak_mib: float = 0.0
    code: int = 0
    finished: bool = True
    lines: list = field(default_factory=list)


class Follower:
    """The whole lines of a file that is still being written; it need not be there yet."""

    def __init__(self, path):
        self.path, self.at, self.rest = path, 0, b""

    def new_lines(self):
        """Lines since the last call."""
        try:
            if os.path.getsize(self.path) == self.at:
                return []
            with open(self.path, "rb") as file:
                file.seek(self.at)
                content = file.read()
        except FileNotFoundError:
            return []
        self.at += len(content)
        *whole, self.rest = (self.rest + content).split(b"\n")
        return [line.decode("utf-8") for line in whole]


def session_of(pid):
    """Session id of a process; None if it has gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rsplit(")", 1)[1].split()[3])
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return None


def members(session):
    """Processes of a session: the program, its launcher, its ranks."""
    return [pid for pid in filter(str.isdigit, os.listdir("/proc")) if session_of(pid) == session]


def proportional_mib(session, program):
    """PSS of the session's processes that run the program: what they share counts once."""
    kib = 0
    for pid in members(session):
        try:
            if os.path.realpath(f"/proc/{pid}/exe") == program:
                with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
                    kib += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            pass
    return kib / 1024


def kill(session):
    """End the session's processes; the caller started them."""
    for pid in members(session):
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass


def measure(command, program, follow, log, environment, limit):
    """Run the command, standard output and error into the file `log`, for `limit` seconds at most.

    program: whose memory counts. follow: file whose lines are timed. Never raises for the command's sake."""
    result = Measured()
    follower = Follower(follow)
    program = os.path.realpath(program)
    began = time.monotonic()
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                   start_new_session=True, env=environment)
    sampled = began
    try:
        while process.returncode is None:
            time.sleep(POLL_SECONDS)
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            now = time.monotonic()
            result.wall = now - began
            result.lines += [(result.wall, line) for line in follower.new_lines()]
            if pid != 0:
                process.returncode = os.waitstatus_to_exitcode(status)
                result.cpu = usage.ru_utime + usage.ru_stime
            elif result.wall > limit:
                result.finished = False
                kill(process.pid)
            elif now - sampled > MEMORY_SECONDS:
                sampled = now
                result.peak_mib = max(result.peak_mib, proportional_mib(process.pid, program))
    finally:
        if process.returncode is None:
            kill(process.pid)
    result.code = process.returncode
    return result


def last_words(log, lines=3):
    """The end of a log, for an error message."""
    with open(log, encoding="utf-8", errors="replace") as file:
        return " | ".join(file.read().strip().splitlines()[-lines:])
