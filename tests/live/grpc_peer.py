#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A gRPC server and client by python3-grpcio, in the four call shapes, without generated code.

    grpc_peer.py serve ADDRESS:PORT
    grpc_peer.py call ADDRESS:PORT ROUNDS   a round for each line of standard input

The client prints its own list of calls, a JSON line for each: method, status, messages each way.
"""
import concurrent.futures
import json
import sys
import threading
import time

import grpc

SERVICE = "tap.test.Shapes"


def unary(request, context):
    if request.startswith(b"fail:"):
        code = int(request[5:])
        context.abort(next(c for c in grpc.StatusCode if c.value[0] == code), "went wrong: 100% \u00e9")
    if request == b"sleep":
        time.sleep(1.5)
    return request * 2


def client_stream(requests, context):
    return b"%d" % sum(len(r) for r in requests)


def server_stream(request, context):
    for n in range(int(request)):
        yield b"m%d" % n
        if n == 400:
            time.sleep(0.05)


def bidi_stream(requests, context):
    for request in requests:
        yield request


def serve(address):
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Up": grpc.stream_unary_rpc_method_handler(client_stream),
        "Down": grpc.unary_stream_rpc_method_handler(server_stream),
        "Both": grpc.stream_stream_rpc_method_handler(bidi_stream),
    }
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(64))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


class Client:
    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        path = f"/{SERVICE}/"
        self.unary = self.channel.unary_unary(path + "Unary")
        self.up = self.channel.stream_unary(path + "Up")
        self.down = self.channel.unary_stream(path + "Down")
        self.both = self.channel.stream_stream(path + "Both")
        self.missing = self.channel.unary_unary(path + "Missing")
        self.lock = threading.Lock()

    def note(self, method, code, sent, received):
        with self.lock:
            print(json.dumps({"method": method, "code": code, "sent": sent, "received": received}))

    def call(self, method, stub, *arguments, sent=1, received=1, **options):
        try:
            answer = stub(*arguments, **options)
            if not isinstance(answer, bytes):
                received = len(list(answer))
            self.note(method, 0, sent, received)
        except grpc.RpcError as error:
            self.note(method, error.code().value[0], sent, 0)

    def round(self, number):
        for _ in range(3):
            self.call("Unary", self.unary, b"x" * 50)
        self.call("Unary", self.unary, b"y" * 70000)
        for code in (5, 7, 13, 16):
            self.call("Unary", self.unary, b"fail:%d" % code)
        self.call("Missing", self.missing, b"")
        self.call("Up", self.up, iter([b"a", b"bb", b""]), sent=3)
        self.call("Down", self.down, b"7", timeout=9)
        self.call("Both", self.both, iter([b"q"] * 5), sent=5)
        self.call("Unary", self.unary, b"sleep", timeout=0.4)
        future = self.unary.future(b"sleep", timeout=60)
        time.sleep(0.3)
        future.cancel()
        self.note("Unary", 1, 1, 0)
        with concurrent.futures.ThreadPoolExecutor(30) as pool:
            list(pool.map(lambda n: self.call("Unary", self.unary, b"%d" % n), range(90)))


def main():
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    client = Client(sys.argv[2])
    for number in range(int(sys.argv[3])):
        sys.stdin.readline()
        client.round(number)
        print(flush=True)
    client.channel.close()


main()
