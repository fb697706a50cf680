"""Children that answer JSON lines; one that dies or hangs costs its own task only."""

import json
import queue
import selectors
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Task = Mapping[str, Any]
Answer = dict[str, Any]

# onnx2tf takes longer with every file it converts: two seconds each after a few hundred.
_LIFETIME = 200


class Child:
    """One child process; started when first asked, and again after it ended."""

    def __init__(self, command: Sequence[str], limit_s: float) -> None:
        self._command, self._limit_s = list(command), limit_s
        self._process: subprocess.Popen[str] | None = None
        self._asked = 0

    def ask(self, task: Task) -> Answer:
        """The child's answer, or what became of it: `{"verdict": "crashed" | "stuck"}`."""
        self._asked += 1
        if self._asked % _LIFETIME == 0:
            self.close()
        if self._process is None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                bufsize=1,
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            return self._ended()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(self._limit_s):
                self.close()
                return {"verdict": "stuck", "reason": f"no answer within {self._limit_s:.0f} s"}
        line = process.stdout.readline()
        return self._ended() if not line else json.loads(line)

    def _ended(self) -> Answer:
        status = self._process.wait() if self._process is not None else 0
        self._process = None
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return {"verdict": "crashed", "reason": f"its process ended by {how}"}

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def answers(
    command: Sequence[str],
    tasks: Sequence[Task],
    *,
    jobs: int,
    limit_s: float,
    tell: Callable[[int], None],
) -> list[Answer]:
    """One answer per task, in their order; `tell` hears how many are done."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(tasks)):
        waiting.put(number)
    found: list[Answer] = [{} for _ in tasks]
    done = threading.Semaphore(0)

    def work() -> None:
        child = Child(command, limit_s)
        try:
            while True:
                try:
                    number = waiting.get_nowait()
                except queue.Empty:
                    return
                found[number] = child.ask(tasks[number])
                done.release()
        finally:
            child.close()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for number in range(len(tasks)):
        done.acquire()
        tell(number + 1)
    for thread in threads:
        thread.join()
    return found
