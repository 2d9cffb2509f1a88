"""A mail server that keeps what it is sent and answers as it is told; for tests of what sends mail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email import message_from_bytes, policy
from email.message import EmailMessage


class SmtpSink:
    """Takes mail on a free port of this machine.

    Attributes:
        mails: What was taken.
        answers: What is said instead of 250 to a command's first word, such as `{"RCPT": "450 later"}`; for RCPT also
            `RCPT TO:<address>`.
        offers: Lines that EHLO offers.
    """

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answers: dict[str, str] = {}
        self.offers: tuple[str, ...] = ("8BITMIME",)
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(b"220 sink\r\n")
            while line := (await reader.readline()).decode().strip():
                verb = line.split(" ")[0].upper()
                answer = self.answers.get(verb + line[len(verb) :]) or self.answers.get(verb) or "250 ok"
                if verb == "EHLO" and verb not in self.answers:
                    answer = "\r\n".join(["250-sink", *(f"250-{offer}" for offer in self.offers), "250 HELP"])
                elif verb == "DATA" and verb not in self.answers:
                    writer.write(b"354 go on\r\n")
                    raw = await reader.readuntil(b"\r\n.\r\n")
                    self.mails.append(message_from_bytes(raw[:-5], policy=policy.default))
                    answer = self.answers.get("END", answer)
                if answer == "hang up":
                    break
                writer.write(f"{answer}\r\n".encode())
        writer.close()


@contextmanager
def smtp_sink() -> Iterator[SmtpSink]:
    """Yield a running sink; it stops at the end of the block."""
    sink, ready, loop = SmtpSink(), threading.Event(), asyncio.new_event_loop()

    async def start() -> asyncio.Server:
        server = await asyncio.start_server(sink.serve, "127.0.0.1", 0)
        sink.port = server.sockets[0].getsockname()[1]
        return server

    def run() -> None:
        server = loop.run_until_complete(start())
        loop.call_soon(ready.set)
        loop.run_forever()
        server.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(5)
    yield sink
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
