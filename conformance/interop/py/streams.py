"""The stream protocols echo and reqresp on py-libp2p streams, both ends."""

from libp2p.network.stream.exceptions import StreamEOF

ECHO = "/echo/1.0.0"
REQRESP = "/interop/reqresp/1.0.0"
MAX_MESSAGE = 16 * 1024 * 1024
PIECE = 64 * 1024


async def read_some(stream):
    """What has arrived; nothing at the end of the peer's data."""
    try:
        return await stream.read(PIECE)
    except StreamEOF:
        return b""


async def read_all(stream):
    message = b""
    while piece := await read_some(stream):
        message += piece
        if len(message) > MAX_MESSAGE:
            raise ValueError("the message is too long")
    return message


async def ask(stream, message):
    """Sends one message, half-closes and reads the answer to its end."""
    await stream.write(message)
    await stream.close_write()
    answer = await read_all(stream)
    await stream.close()
    return answer


async def serve_echo(stream):
    while piece := await read_some(stream):
        await stream.write(piece)
    await stream.close()


async def serve_reqresp(stream):
    await stream.write(b"re:" + await read_all(stream))
    await stream.close()
