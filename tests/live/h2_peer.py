#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An HTTP/2 server by python3-h2 that does what others don't: extended CONNECT, frames of unknown
types, GOAWAY that leaves streams, RST_STREAM; and the client that asks for it.

    h2_peer.py serve ADDRESS PORT
    h2_peer.py call ADDRESS PORT     prints its requests, a JSON line for each
    h2_peer.py keep ADDRESS PORT     for each line of its input 40 requests in the same two connections,
                                     which it prints likewise, then an empty line
"""
import json
import socket
import sys

import h2.config
import h2.connection
import h2.events
import h2.settings

UNKNOWN = b"\0\0\5\x5f\xff\0\0\0\0hello"  # a frame of an extension


def answer(connection, event, sock):
    headers = dict(event.headers)
    stream = event.stream_id
    path = headers.get(":path", "")
    sock.sendall(UNKNOWN)
    if path == "/goaway":
        connection.close_connection(error_code=2, last_stream_id=stream - 2)
    elif path == "/reset":
        connection.reset_stream(stream, error_code=int(headers["x-code"]))
    elif headers[":method"] == "CONNECT":
        connection.send_headers(stream, [(":status", "200")])
    else:
        connection.send_headers(stream, [(":status", "100")])
        connection.send_headers(stream, [(":status", headers.get("x-status", "200"))])
        connection.send_data(stream, b"body", pad_length=9)
        connection.send_headers(stream, [("x-trailer", "t")], end_stream=True)


def serve_one(sock):
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.local_settings[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1
    connection.initiate_connection()
    sock.sendall(connection.data_to_send())
    while data := sock.recv(65536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                answer(connection, event, sock)
            elif isinstance(event, h2.events.DataReceived):
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if event.data == b"ping":
                    connection.send_data(event.stream_id, b"pong", end_stream=True)
        sock.sendall(connection.data_to_send())


def serve(address, port):
    listener = socket.create_server((address, port))
    while True:
        sock, _ = listener.accept()
        with sock:
            try:
                serve_one(sock)
            except OSError:
                pass


class Client:
    def __init__(self, address, port):
        self.sock = socket.create_connection((address, port))
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.connection.initiate_connection()
        self.flush()

    def flush(self):
        self.sock.sendall(self.connection.data_to_send())

    def until(self, kind, stream):
        while True:
            data = self.sock.recv(65536)
            assert data, "the server is gone"
            events = self.connection.receive_data(data)
            self.flush()
            for event in events:
                if isinstance(event, kind) and getattr(event, "stream_id", stream) == stream:
                    return

    def ask(self, method, path, status, *more, wait=h2.events.StreamEnded, end=True, before=UNKNOWN):
        stream = self.connection.get_next_available_stream_id()
        headers = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "h2")]
        if method == "CONNECT":
            headers.insert(1, (":protocol", "websocket"))
        self.connection.send_headers(stream, headers + list(more), end_stream=end)
        self.sock.sendall(before)
        self.flush()
        print(json.dumps({"method": method, "path": path, "status": status}))
        if wait is not None:
            self.until(wait, stream)
        return stream


def call(address, port):
    client = Client(address, port)
    client.ask("GET", "/plain", "ok")
    client.ask("POST", "/missing", "client_error", ("x-status", "404"))
    for code, status in ((8, "cancelled"), (7, "server_error"), (2, "server_error")):
        client.ask("GET", "/reset", status, ("x-code", str(code)), wait=h2.events.StreamReset)
    stream = client.ask("CONNECT", "/chat", "ok", wait=h2.events.ResponseReceived, end=False)
    client.connection.send_data(stream, b"ping", end_stream=True)
    client.flush()
    client.until(h2.events.StreamEnded, stream)
    client.ask("GET", "/goaway", "cancelled", wait=h2.events.ConnectionTerminated)


def keep(address, port):
    clients = [Client(address, port), Client(address, port)]
    asked = 0
    for _ in sys.stdin:
        for n in range(40):
            # Both encoders index. The long number makes the path leave the table, which has room for
            # forty, so that it is told again.
            asked += 1
            clients[n % 2].ask("GET", "/style.css", "ok", ("x-number", f"{asked:060}"), before=b"")
        print(flush=True)


{"serve": serve, "call": call, "keep": keep}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
