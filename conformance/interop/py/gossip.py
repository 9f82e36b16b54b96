"""GossipSub and FloodSub with py-libp2p."""

import os
import sys

import trio
from libp2p.peer.id import ID
from libp2p.pubsub import floodsub, gossipsub
from libp2p.pubsub.pubsub import Pubsub

import contract

PROTOCOLS = ["/floodsub/1.0.0", "/meshsub/1.0.0", "/meshsub/1.1.0", "/meshsub/1.2.0"]
ACK = b"ack:"
# How long one message may take to be acknowledged, in seconds; how often it is published, under a new body each time.
PATIENCE, TRIES = 4, 3
# How much of a message its acknowledgement repeats, in bytes.
ACKED = 64


def make(host, only):
    """A Pubsub that keeps to one protocol, or speaks all but FloodSub."""
    if only == floodsub.PROTOCOL_ID:
        return Pubsub(host, floodsub.FloodSub([floodsub.PROTOCOL_ID]))
    names = [only] if only else list(reversed(PROTOCOLS[1:]))
    return Pubsub(host, gossipsub.GossipSub(names, degree=6, degree_low=4, degree_high=12, heartbeat_interval=1))


async def acknowledge(pubsub, topic, nursery):
    subscription = await pubsub.subscribe(topic)
    own = pubsub.my_id.to_bytes()

    async def run():
        while True:
            message = await subscription.get()
            if message.from_id == own or message.data.startswith(ACK):
                continue
            head = message.data[:ACKED]
            contract.line(
                event="gossip", topic=topic, from_=str(ID(message.from_id)), bytes=len(message.data), data=head.decode(errors="replace"),
            )
            try:
                await pubsub.publish(topic, ACK + head)
            except Exception as error:
                print(f"ack: {contract.describe(error)}", file=sys.stderr)

    nursery.start_soon(run)


async def act(pubsub, peer, text):
    topic, _, numbers = text.partition(":")
    count, _, size = numbers.partition(":")
    count, size = contract.number(count or "1"), contract.number(size or "0")
    subscription = await pubsub.subscribe(topic)
    await pubsub.wait_for_subscription(peer, topic, timeout=10)
    published = 0
    for number in range(count):
        for attempt in range(TRIES):
            body = f"message {number}.{attempt} of {os.getpid()}".encode().ljust(size, b".")
            published += 1
            await pubsub.publish(topic, body)
            with trio.move_on_after(PATIENCE) as waiting:
                while (await subscription.get()).data != ACK + body[:ACKED]:
                    pass
            if not waiting.cancelled_caught:
                break
        else:
            raise RuntimeError(f"message {number} was not acknowledged")
    return {"acks": count, "published": published}
