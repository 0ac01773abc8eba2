# SPDX-License-Identifier: Apache-2.0
"""A receiver over HTTP that does what it is told, and what no receiver should: it answers every
request by the next entry of a script, or by its default. Requests are kept as they came.

Entries: 204 · (503, {'Retry-After': '2'}, b'body') · 'reset' · 'close' · 'close_mid_body' ·
'close_mid_success' (of a 200) ·
'never' · 'endless_header' · 'slow' (1 byte/s) · 'huge' (a body without end) · 'garbage'
"""
import collections
import socket
import ssl
import struct
import threading
import time

Request = collections.namedtuple('Request', 'time method path headers body answer')


class Receiver:
    """Listens on loopback; `script` holds what is still to come, `requests` what came."""

    def __init__(self, default=204, script=(), tls=None, port=0):
        self.default = default
        self.script = list(script)
        self.requests = []
        self.lock = threading.Lock()
        self.tls = tls
        self.is_open = True
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(('127.0.0.1', port))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        self.connections = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path='/api/v1/write'):
        return f'{"https" if self.tls else "http"}://127.0.0.1:{self.port}{path}'

    def close(self):
        """As if the process had died: nothing listens, connections are gone."""
        self.is_open = False
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        with self.lock:
            connections = list(self.connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def bodies(self, answers=(200, 204)):
        with self.lock:
            return [r.body for r in self.requests if r.answer in answers]

    def _accept(self):
        while self.is_open:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        plain = connection
        try:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            stream = connection.makefile('rb')
            while self._one(connection, stream):
                pass
        except (OSError, ssl.SSLError, ValueError):
            pass
        finally:
            with self.lock:
                self.connections.discard(plain)
            try:
                connection.close()
            except OSError:
                pass

    def _one(self, connection, stream):
        line = stream.readline()
        if not line:
            return False
        method, path, _ = line.decode('latin-1').split()
        headers = {}
        while (line := stream.readline()) not in (b'\r\n', b''):
            name, _, value = line.decode('latin-1').partition(':')
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get('content-length', 0)))
        with self.lock:
            answer = self.script.pop(0) if self.script else self.default
            if callable(answer):
                answer = answer(Request(time.monotonic(), method, path, headers, body, None))
            status = answer[0] if isinstance(answer, tuple) else answer
            self.requests.append(Request(time.monotonic(), method, path, headers, body, status))
        return self._answer(connection, answer)

    def _answer(self, connection, answer):
        if isinstance(answer, int):
            answer = (answer, {}, b'')
        if isinstance(answer, tuple):
            status, headers, body = answer
            lines = [f'HTTP/1.1 {status} Whatever', f'Content-Length: {len(body)}']
            lines += [f'{name}: {value}' for name, value in headers.items()]
            connection.sendall('\r\n'.join(lines).encode() + b'\r\n\r\n' + body)
            return True
        return getattr(self, '_' + answer)(connection)

    @staticmethod
    def _reset(connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        return False

    @staticmethod
    def _close(connection):
        return False

    @staticmethod
    def _close_mid_body(connection):
        connection.sendall(b'HTTP/1.1 503 Whatever\r\nContent-Length: 1000\r\n\r\nhalf')
        return False

    @staticmethod
    def _close_mid_success(connection):
        connection.sendall(b'HTTP/1.1 200 Whatever\r\nContent-Length: 1000\r\n\r\n{"errors": tr')
        return False

    def _never(self, connection):
        while self.is_open:
            time.sleep(0.05)
        return False

    def _endless_header(self, connection):
        connection.sendall(b'HTTP/1.1 204 Whatever\r\n')
        while self.is_open:
            connection.sendall(b'X-More: ' + b'x' * 1000 + b'\r\n')
        return False

    def _slow(self, connection):
        for byte in b'HTTP/1.1 204 Whatever\r\nContent-Length: 0\r\n\r\n':
            if not self.is_open:
                break
            connection.sendall(bytes([byte]))
            time.sleep(1)
        return False

    def _huge(self, connection):
        connection.sendall(b'HTTP/1.1 503 Whatever\r\nContent-Length: 99999999999\r\n\r\n')
        while self.is_open:
            connection.sendall(b'x' * 65536)
        return False

    @staticmethod
    def _garbage(connection):
        connection.sendall(b'\x00\x01\x02 this is no HTTP\r\n\r\n' * 50)
        return False
