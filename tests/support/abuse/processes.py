"""A part of the kit in a process of its own, so that no abuser slows it down."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from types import TracebackType

_ROOT = Path(__file__).parents[3]
_END_S = 60.0


class Beside:
    """`python -m MODULE`: it says what it has to say on stdout, and ends when its stdin does."""

    def __init__(self, module: str, *args: str) -> None:
        self._command = [sys.executable, "-m", module, *args]
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Beside:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, cwd=_ROOT, env=dict(os.environ)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.end()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    async def line(self) -> str:
        """The next line it says. Raises RuntimeError when it has ended instead."""
        assert self._process is not None
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._command} ended with {await self._process.wait()}")
        return line.decode().strip()

    async def end(self) -> str:
        """Let it end; what it said last."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(_END_S):
                said, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        return said.decode().strip()


async def until_stdin_ends() -> None:
    """For the process itself: wait until nobody needs it any more."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def read() -> None:
        with contextlib.suppress(BlockingIOError):
            if not os.read(0, 4096):
                loop.remove_reader(0)
                ended.set()

    loop.add_reader(0, read)
    await ended.wait()
