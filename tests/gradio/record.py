"""Records the pieces of HTTP messages that the kernel programs would send, as a proxy in front of app.py.

Usage: record.py PORT TARGET_PORT FILE. Writes the fixtures in tests/fixtures/gradio.
"""

import asyncio
import json
import re
import sys
import time

PORT, TARGET, FILE = int(sys.argv[1]), int(sys.argv[2]), open(sys.argv[3], "w", encoding="utf-8")
KNOWN = re.compile(rb"(GET|POST) \S*/(queue/join|queue/data|call/|cancel)")
PIECE, END = 256, 128
COUNT = 0


class Messages:
    """Follows one direction of a connection."""

    def __init__(self, connection, is_request, known):
        self.connection, self.is_request, self.known = connection, is_request, known
        self.buffer, self.number, self.left, self.mode = b"", 0, 0, "head"
        self.body_bytes, self.tail, self.is_sent = 0, b"", False

    def piece(self, kind, text=b"", total=0, status=0):
        if kind == "RequestHead" and KNOWN.match(text):
            self.known.add(self.number)
        if self.number not in self.known:
            return
        record = {"at_ns": time.monotonic_ns(), "connection": self.connection, "request": self.number, "kind": kind}
        record |= {"bytes_total": total, "status": status, "text": text.decode("latin-1")}
        FILE.write(json.dumps(record, separators=(",", ":")) + "\n")

    def end(self):
        if self.is_request and self.body_bytes:
            self.piece("RequestBodyEnd", self.tail, self.body_bytes)
        if not self.is_request:
            self.piece("ResponseEnd")
        self.mode = "head"

    def feed(self, data):
        self.buffer += data
        while self.step():
            pass

    def step(self):
        if self.mode == "head":
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return False
            self.buffer, self.number = rest, self.number + 1
            self.left, self.body_bytes, self.tail, self.is_sent = 0, 0, b"", False
            status = 0 if self.is_request else int(head.split(b" ")[1])
            self.piece("RequestHead" if self.is_request else "ResponseHead", (head + found)[:PIECE], 0, status)
            if re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head):
                self.mode = "size"
            elif length := re.search(rb"(?i)\r\ncontent-length: *(\d+)", head):
                self.left, self.body_bytes, self.mode = int(length[1]), int(length[1]), "body"
            else:
                self.end()
            return True
        if self.mode == "size":
            size, found, rest = self.buffer.partition(b"\r\n")
            if not found:
                return False
            self.buffer, self.left, self.is_sent = rest, int(size, 16), False
            self.body_bytes, self.mode = self.left, "chunk" if self.left else "last"
            return True
        if self.mode == "last":
            if len(self.buffer) < 2:
                return False
            self.buffer = self.buffer[2:]
            self.end()
            return True
        return self.content()

    def content(self):
        if not self.is_sent and self.left:
            if len(self.buffer) < min(PIECE, self.left):
                return False
            kind = "RequestBodyStart" if self.is_request else "ResponseBody"
            self.piece(kind, self.buffer[: min(PIECE, self.left)], self.body_bytes)
            self.is_sent = True
        taken = self.buffer[: self.left]
        self.buffer, self.left = self.buffer[len(taken) :], self.left - len(taken)
        self.tail = (self.tail + taken)[-END:]
        if self.left:
            return False
        if self.mode == "body":
            self.end()
            return True
        if len(self.buffer) < 2:
            return False
        self.buffer, self.mode = self.buffer[2:], "size"
        return True


async def pump(reader, writer, messages):
    try:
        while data := await reader.read(65536):
            messages.feed(data)
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


async def serve(reader, writer):
    global COUNT
    COUNT += 1
    connection, known = COUNT, set()
    target_reader, target_writer = await asyncio.open_connection("127.0.0.1", TARGET)
    messages = Messages(connection, True, known)
    await asyncio.gather(
        pump(reader, target_writer, messages),
        pump(target_reader, writer, Messages(connection, False, known)),
    )
    messages.piece("ConnectionEnd")
    FILE.flush()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", PORT)
    await server.serve_forever()


asyncio.run(main())
