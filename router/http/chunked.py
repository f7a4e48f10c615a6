"""The chunked transfer coding, strictly as RFC 9112 §7.1 defines it.

Pure. llhttp decodes chunks, too, but through httptools it cannot say *where* a message ended, so a
pipelined request behind it would be parsed along with it; and its body callbacks cost three times a
slice. A fuzz test compares this decoder with llhttp's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from router.http.fields import FIELD_LINE, TOKEN, allowed_in_trailer

_QUOTED: Final = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_EXTENSION: Final = (
    rb"(?:[ \t]*;[ \t]*" + TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + TOKEN + rb"|" + _QUOTED + rb"))?)*"
)
_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})" + _EXTENSION + rb"\r\n")
# A size line needs 17 bytes; the rest is room for extensions, which are ignored.
_MAX_SIZE_LINE: Final = 256
_MAX_TRAILER_BYTES: Final = 8192
# Chunks decoded in one go. A chunk of one byte costs some 0.8 us, so this is about 2 ms: with more,
# everybody else's requests would wait for a client that sends its body in tiny pieces.
CHUNKS_AT_ONCE: Final = 2048

_SIZE: Final = 0
_DATA: Final = 1
_DATA_END: Final = 2
_TRAILER: Final = 3
_DONE: Final = 4


class FramingError(ValueError):
    """The bytes are not a valid chunked body; the message names the rule they break."""


class ChunkedDecoder:
    """Decodes one body. Feed it bytes until `done`.

    `at` is where it stopped in the last bytes fed.
    """

    __slots__ = ("_held", "_left", "_state", "_trailer_bytes", "at", "trailers")

    def __init__(self) -> None:
        self._state = _SIZE
        self._held = b""  # an unfinished line
        self._left = 0  # bytes of the current chunk still to come
        self._trailer_bytes = 0
        self.trailers: list[tuple[bytes, bytes]] = []
        self.at = 0

    @property
    def done(self) -> bool:
        """Whether the last chunk and the trailer section have been read."""
        return self._state == _DONE

    def feed(self, data: bytes, at: int = 0, most: int = CHUNKS_AT_ONCE) -> list[bytes]:
        """Decode the body bytes in `data` from offset `at`, at most `most` chunks of them.

        If it is not `done` and `at` is before the end, feed the rest again later. Raises
        FramingError.
        """
        pieces: list[bytes] = []
        size = len(data)
        if self._held:
            at = self._end_line(data, at)
        while at < size and most and self._state != _DONE:
            if self._state == _SIZE:
                most -= 1
                at = self._chunk(data, at, pieces)
            elif self._state == _DATA:
                stop = min(at + self._left, size)
                pieces.append(data[at:stop])
                self._left -= stop - at
                at = stop
                if self._left == 0:
                    self._state = _DATA_END
            else:
                at = self._end_line(data, at)
        self.at = at
        return pieces

    def _chunk(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Read a size line, and the chunk behind it if the whole of it is there."""
        match = _SIZE_LINE.match(data, at, at + _MAX_SIZE_LINE + 2)
        if match is None:
            return self._end_line(data, at)
        at = match.end()
        left = int(match[1], 16)
        if not left:
            self._state = _TRAILER
            return at
        stop = at + left
        if data[stop : stop + 2] == b"\r\n":
            pieces.append(data[at:stop])
            return stop + 2
        self._left = left
        self._state = _DATA
        return at

    def _end_line(self, data: bytes, at: int) -> int:
        """Read one line, or keep its unfinished beginning; returns the offset behind it."""
        newline = data.find(b"\n", at)
        if newline < 0:
            self._hold(self._held + data[at:])
            return len(data)
        line = self._held + data[at : newline + 1]
        self._held = b""
        if line[-2:] != b"\r\n":
            raise FramingError("a line of a chunked body does not end in CRLF")
        self._line(line)
        return newline + 1

    def _hold(self, tail: bytes) -> None:
        limit = _MAX_TRAILER_BYTES if self._state == _TRAILER else _MAX_SIZE_LINE
        if len(tail) > limit:
            raise FramingError("a line of a chunked body is too long")
        # Only "\r" can begin a chunk's end: refuse anything else now, not after more bytes.
        if self._state == _DATA_END and tail != b"\r":
            raise FramingError("a chunk is longer than its size")
        if self._state == _SIZE and not _may_begin_size(tail):
            raise FramingError("a chunk size is not a hexadecimal number")
        self._held = tail

    def _line(self, line: bytes) -> None:
        if self._state == _SIZE:
            self._size_line(line)
        elif self._state == _DATA_END:
            if line != b"\r\n":
                raise FramingError("a chunk is longer than its size")
            self._state = _SIZE
        elif line != b"\r\n":
            self._trailer_line(line[:-2])
        else:
            self._state = _DONE

    def _size_line(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line) if len(line) <= _MAX_SIZE_LINE + 2 else None
        if match is None:
            raise FramingError("a chunk size is not a hexadecimal number")
        self._left = int(match[1], 16)
        self._state = _DATA if self._left else _TRAILER

    def _trailer_line(self, line: bytes) -> None:
        self._trailer_bytes += len(line)
        match = FIELD_LINE.fullmatch(line)
        if match is None or self._trailer_bytes > _MAX_TRAILER_BYTES:
            raise FramingError("a trailer field is malformed or too large")
        if allowed_in_trailer(match[1]):
            self.trailers.append((match[1], match[2]))


def _may_begin_size(tail: bytes) -> bool:
    return tail[:1].isalnum() and b"\0" not in tail


def chunk(pieces: list[bytes]) -> bytes:
    """`pieces` as one chunk; nothing if they are empty, because a chunk of size 0 ends the body."""
    size = sum(map(len, pieces))
    return b"%x\r\n%b\r\n" % (size, b"".join(pieces)) if size else b""


def last_chunk(trailers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The end of a chunked body, with its trailer fields."""
    if not trailers:
        return b"0\r\n\r\n"
    return b"0\r\n%b\r\n" % b"".join(b"%b: %b\r\n" % field for field in trailers)
