"""A relay before a control plane, so that a test can act between two calls of one command."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def before_each_call(server: str, act: Callable[[str], None]) -> Iterator[str]:
    """The address of a relay that gives the path of each GET to `act` before it asks."""

    class Relay(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            act(self.path)
            headers = {"Authorization": self.headers["Authorization"]}
            asked = urllib.request.Request(server + self.path, headers=headers)
            try:
                answer = urllib.request.urlopen(asked, timeout=30)
            except urllib.error.HTTPError as refused:
                answer = refused
            with answer:
                self.send_response(answer.status)
                self.end_headers()
                self.wfile.write(answer.read())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Relay) as relay:
        thread = threading.Thread(target=relay.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{relay.server_port}"
        finally:
            relay.shutdown()
            thread.join()
