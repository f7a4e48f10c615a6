"""The chunked transfer coding, strictly as RFC 9112 §7.1 writes it.

Pure. llhttp decodes chunks too, but through httptools it cannot say *where* a message ended, so
a pipelined request behind it would be parsed in the same breath; and its body callbacks cost
three times a slice. The fuzz test holds this reading against llhttp's.
"""

from __future__ import annotations

import re

from router.fields import FIELD_LINE, TOKEN, allowed_in_trailer

_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_EXTENSION = (
    rb"(?:[ \t]*;[ \t]*" + TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + TOKEN + rb"|" + _QUOTED + rb"))?)*"
)
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})" + _EXTENSION)
# A size line needs 17 bytes; the rest is room for extensions, which nobody reads.
_MAX_SIZE_LINE = 256
_MAX_TRAILER_BYTES = 8192

_SIZE, _DATA, _DATA_END, _TRAILER, _DONE = range(5)


class FramingError(ValueError):
    """The bytes are not a chunked body; the message names the rule."""


class ChunkedDecoder:
    """Decodes one body. Feed it bytes until `done`; what lies behind the body is `rest`."""

    __slots__ = ("_held", "_left", "_state", "_trailer_bytes", "rest", "trailers")

    def __init__(self) -> None:
        self._state = _SIZE
        self._held = b""  # an unfinished line
        self._left = 0  # bytes of the current chunk still to come
        self._trailer_bytes = 0
        self.trailers: list[tuple[bytes, bytes]] = []
        self.rest = b""

    @property
    def done(self) -> bool:
        """Whether the last chunk and the trailer section have been read."""
        return self._state == _DONE

    def feed(self, data: bytes) -> list[bytes]:
        """The body bytes in `data`, in order. Raises FramingError."""
        if self._held:
            data = self._held + data
            self._held = b""
        pieces: list[bytes] = []
        at, end = 0, len(data)
        while at < end and self._state != _DONE:
            if self._state == _DATA:
                stop = min(at + self._left, end)
                pieces.append(data[at:stop])
                self._left -= stop - at
                at = stop
                if self._left == 0:
                    self._state = _DATA_END
                continue
            newline = data.find(b"\n", at)
            if newline < 0:
                self._hold(data[at:])
                return pieces
            if newline == at or data[newline - 1] != 13:
                raise FramingError("a line of a chunked body does not end in CRLF")
            self._line(data[at : newline - 1])
            at = newline + 1
        if self._state == _DONE:
            self.rest = data[at:]
        return pieces

    def _hold(self, tail: bytes) -> None:
        limit = _MAX_TRAILER_BYTES if self._state == _TRAILER else _MAX_SIZE_LINE
        if len(tail) > limit:
            raise FramingError("a line of a chunked body is too long")
        # Nothing but "\r" can begin a chunk's end; waiting for more would only delay the refusal.
        if self._state == _DATA_END and tail != b"\r":
            raise FramingError("a chunk is longer than its size")
        if self._state == _SIZE and not _may_begin_size(tail):
            raise FramingError("a chunk size is not a hexadecimal number")
        self._held = tail

    def _line(self, line: bytes) -> None:
        if self._state == _SIZE:
            self._size_line(line)
        elif self._state == _DATA_END:
            if line:
                raise FramingError("a chunk is longer than its size")
            self._state = _SIZE
        elif line:
            self._trailer_line(line)
        else:
            self._state = _DONE

    def _size_line(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line) if len(line) <= _MAX_SIZE_LINE else None
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
    """One chunk made of `pieces`; nothing for no bytes, since a chunk of size 0 ends a body."""
    size = sum(map(len, pieces))
    return b"%x\r\n%b\r\n" % (size, b"".join(pieces)) if size else b""


def last_chunk(trailers: list[tuple[bytes, bytes]]) -> bytes:
    """The end of a chunked body, with its trailer fields."""
    if not trailers:
        return b"0\r\n\r\n"
    return b"0\r\n%b\r\n" % b"".join(b"%b: %b\r\n" % field for field in trailers)
