#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A gRPC-Web server over HTTP/1 by sonora (PyPI), and calls of it by sonora's client and, in base64, by
http.client: both ways of a body's encoding, unary and streams of the server, errors.

    grpc_web_peer.py serve ADDRESS PORT
    grpc_web_peer.py call ADDRESS PORT    prints its calls, a JSON line for each
"""
import base64
import http.client
import json
import sys
import wsgiref.simple_server

import grpc
import sonora.client
import sonora.wsgi

SERVICE = "tap.test.Web"


def unary(request, context):
    if request.startswith(b"fail:"):
        code = int(request[5:])
        context.set_code(next(c for c in grpc.StatusCode if c.value[0] == code))
        context.set_details("went wrong: 100% \u00e9")
        raise grpc.RpcError()
    return request * 2


def down(request, context):
    for n in range(int(request)):
        yield b"message %d" % n


def serve(address, port):
    handlers = {"Unary": grpc.unary_unary_rpc_method_handler(unary, bytes, bytes),
                "Down": grpc.unary_stream_rpc_method_handler(down, bytes, bytes)}
    application = sonora.wsgi.grpcWSGI()
    application.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    wsgiref.simple_server.make_server(address, port, application).serve_forever()


def say(method, kind, code, received):
    print(json.dumps({"method": method, "kind": kind, "code": code, "received": received}))


def frames(body):
    """(flags, content) of each; every piece that was flushed is padded by itself."""
    data = b"".join(base64.b64decode(body[at:at + 4]) for at in range(0, len(body), 4))
    while data:
        end = 5 + int.from_bytes(data[1:5], "big")
        yield data[0], data[5:end]
        data = data[end:]


def call_text(address, port, method, request):
    kind = "application/grpc-web-text"
    connection = http.client.HTTPConnection(address, port)
    message = b"\0" + len(request).to_bytes(4, "big") + request
    connection.request("POST", f"/{SERVICE}/{method}", base64.b64encode(message),
                       {"content-type": kind, "accept": kind, "x-grpc-web": "1", "grpc-timeout": "9S"})
    response = connection.getresponse()
    parts = list(frames(response.read()))
    trailers = b"".join(content for flags, content in parts if flags & 0x80).decode().lower()
    words = dict(line.split(":", 1) for line in trailers.split("\r\n") if ":" in line)
    code = words.get("grpc-status", response.headers.get("grpc-status"))
    connection.close()
    say(method, kind, int(code), sum(flags & 0x80 == 0 for flags, _ in parts))


def call(address, port):
    kind = "application/grpc-web+proto"
    channel = sonora.client.insecure_web_channel(f"http://{address}:{port}")
    plain = channel.unary_unary(f"/{SERVICE}/Unary", bytes, bytes)
    stream = channel.unary_stream(f"/{SERVICE}/Down", bytes, bytes)
    for request, options in ((b"hello", {}), (b"x" * 5000, {"timeout": 30})):
        assert plain(request, **options) == request * 2
        say("Unary", kind, 0, 1)
    for code in (5, 13, 16):
        try:
            plain(b"fail:%d" % code)
            raise SystemExit("no error came")
        except grpc.RpcError as error:
            say("Unary", kind, error.code().value[0], 0)
    say("Down", kind, 0, len(list(stream(b"7"))))
    call_text(address, port, "Unary", b"in base64")
    call_text(address, port, "Unary", b"fail:7")
    call_text(address, port, "Down", b"4")


{"serve": serve, "call": call}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
