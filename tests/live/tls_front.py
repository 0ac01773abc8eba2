#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Takes TLS off: what a client of HTTP/2 sends over TLS goes on in clear, byte for byte.

    tls_front.py CERTIFICATE SERVER PORT:SERVERS_PORT ...   CERTIFICATE holds the key, too
"""
import asyncio
import ssl
import sys


async def carry(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def serve(certificate, server, pairs):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    tls.set_alpn_protocols(["h2"])
    for listened, port in pairs:
        async def connected(reader, writer, port=port):
            inner_reader, inner_writer = await asyncio.open_connection(server, port)
            await asyncio.gather(carry(reader, inner_writer), carry(inner_reader, writer),
                                 return_exceptions=True)
        await asyncio.start_server(connected, "127.0.0.1", listened, ssl=tls)
    await asyncio.Event().wait()


asyncio.run(serve(sys.argv[1], sys.argv[2], [map(int, pair.split(":")) for pair in sys.argv[3:]]))
