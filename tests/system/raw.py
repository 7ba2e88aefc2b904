"""HTTP by hand over a socket, for requests that no client library would send."""

import socket
import time
from dataclasses import dataclass, field


@dataclass
class Answer:
    status: int
    headers: dict = field(default_factory=dict)  # lower-case names; of repeated ones a list of all values
    body: bytes = b""
    informational: list = field(default_factory=list)  # status of each 1xx before it

    def header(self, name):
        values = self.headers.get(name, [])
        assert len(values) <= 1, (name, values)
        return values[0] if values else None


class Connection:
    def __init__(self, address, timeout_s=20):
        self.socket = socket.create_connection(address, timeout_s)
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _more(self):
        data = self.socket.recv(65536)
        self.pending += data
        return data != b""

    def _head(self):
        while b"\r\n\r\n" not in self.pending:
            if not self._more():
                raise EOFError(f"closed after {self.pending[:200]!r}")
        head, _, self.pending = self.pending.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        version, status = lines[0].split(" ", 2)[:2]
        assert version in ("HTTP/1.1", "HTTP/1.0"), lines[0]
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers.setdefault(name.lower(), []).append(value.strip())
        return int(status), headers

    def status_line(self):
        """Of the next answer, which stays to be read."""
        while b"\r\n" not in self.pending:
            if not self._more():
                raise EOFError("closed without an answer")
        return self.pending.partition(b"\r\n")[0].decode()

    def _take(self, size):
        while len(self.pending) < size:
            if not self._more():
                raise EOFError(f"{size - len(self.pending)} bytes of the body are missing")
        taken, self.pending = self.pending[:size], self.pending[size:]
        return taken

    def _chunks(self):
        body = b""
        while True:
            while b"\r\n" not in self.pending:
                if not self._more():
                    raise EOFError("a chunk is missing")
            line, _, self.pending = self.pending.partition(b"\r\n")
            size = int(line, 16)
            body += self._take(size)
            assert self._take(2) == b"\r\n"
            if size == 0:
                return body

    def answer(self, method="GET"):
        """The next answer. EOFError if the server closes instead."""
        informational = []
        while True:
            status, headers = self._head()
            if status >= 200:
                break
            informational.append(status)
        answer = Answer(status, headers, informational=informational)
        if method == "HEAD" or status in (204, 304):
            return answer
        if headers.get("transfer-encoding") == ["chunked"]:
            answer.body = self._chunks()
        else:
            answer.body = self._take(int(answer.header("content-length")))
        return answer

    def closed(self, timeout_s=20):
        """Wait until the server closes; what it had sent before that nobody read is returned."""
        deadline = time.monotonic() + timeout_s
        rest = self.pending
        while True:
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return rest
            if data == b"":
                return rest
            rest += data


def exchange(address, data, answers=1, method="GET", timeout_s=20):
    """Send `data` and read so many answers."""
    with Connection(address, timeout_s) as connection:
        connection.send(data)
        return [connection.answer(method) for _ in range(answers)]
