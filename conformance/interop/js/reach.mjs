// What has to do with NAT, and with finding peers nearby, with js-libp2p.

import { autoNAT } from '@libp2p/autonat'
import { autoNATv2 } from '@libp2p/autonat-v2'
import { circuitRelayServer } from '@libp2p/circuit-relay-v2'
import { dcutr } from '@libp2p/dcutr'
import { mdns } from '@libp2p/mdns'
import { multiaddr } from '@multiformats/multiaddr'

// How many reservations a relay grants: all peers come from one host.
const SLOTS = 1024

export function services (wants) {
  return {
    ...(wants('relay') ? { relay: circuitRelayServer({ reservations: { maxReservations: SLOTS, defaultDataLimit: 1n << 20n } }) } : {}),
    ...(wants('dcutr') ? { dcutr: dcutr() } : {}),
    ...(wants('autonat') ? { autonat: autoNAT() } : {}),
    ...(wants('autonat2') ? { autonat2: autoNATv2() } : {})
  }
}

export const discovery = (wants) => wants('mdns') ? [mdns()] : []

const circuit = (addr) => addr.toString().includes('/p2p-circuit')

// Waits until one of our addresses leads through a relay.
async function slot (node, signal) {
  for (;;) {
    const addr = node.getMultiaddrs().find(circuit)
    if (addr != null) {
      return addr.toString()
    }
    signal.throwIfAborted()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

// Waits for the reservation of a listener that listens at a relay.
export const reserved = (node, limit) => slot(node, AbortSignal.timeout(limit))

// Does one action; gives the extra fields of its line, or nothing if there is no such action.
export async function act (node, connection, name, signal) {
  switch (name) {
    case 'relay-reserve': {
      // Listening at a relay is how js-libp2p asks for a slot.
      const relay = `${connection.remoteAddr.toString().replace(/\/p2p\/[^/]+$/, '')}/p2p/${connection.remotePeer}`
      await node.components.transportManager.listen([multiaddr(`${relay}/p2p-circuit`)])
      return { circuitAddr: await slot(node, signal) }
    }
    case 'dcutr': {
      const begun = performance.now()
      while (!node.getConnections(connection.remotePeer).some((known) => known.limits == null && !circuit(known.remoteAddr))) {
        signal.throwIfAborted()
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      return { ms: performance.now() - begun }
    }
  }
}
