// Kademlia with js-libp2p: the service, and what a dialer asks.

import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { peerIdFromString } from '@libp2p/peer-id'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { sha256 } from 'multiformats/hashes/sha2'

const NAMESPACE = '/interop/'

// Any value may be stored under `/interop/`, and all addresses are loopback addresses.
export function service (protocol, dialing) {
  return kadDHT({
    protocol,
    clientMode: dialing,
    peerInfoMapper: passthroughMapper,
    validators: { interop: () => {} },
    selectors: { interop: () => 0 },
    initialQuerySelfInterval: 100
  })
}

// A listener serves at once: without a public address js-libp2p would only ask.
export async function serve (node) {
  await node.services.kad.setMode('server')
}

const key = (text) => Buffer.from(NAMESPACE + text)
const cid = async (text) => CID.createV1(raw.code, await sha256.digest(Buffer.from(text)))

// Waits until the peer is in the routing table, which it enters after a check.
async function asked (node, peer, signal) {
  while (await node.services.kad.routingTable.find(peer) == null) {
    signal.throwIfAborted()
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

// All events of a query. What a peer refuses is an event only.
async function events (query) {
  const all = []
  for await (const event of query) {
    all.push(event)
  }
  return all
}

// Whether the peer took what a query sent to it.
function sent (all, peer, message) {
  const refused = all.find((event) => event.name === 'QUERY_ERROR' && event.from.equals(peer))
  if (refused != null) {
    throw refused.error
  }
  if (!all.some((event) => event.name === 'PEER_RESPONSE' && event.messageName === message && event.from.equals(peer))) {
    throw new Error(`nothing was sent to the peer (${message})`)
  }
}

function some (name, list) {
  if (list.length === 0) {
    throw new Error('nothing was found')
  }
  return { [name]: list }
}

// Does one action `kad-…`; gives the extra fields of its line, or nothing if there is no such action.
export async function act (node, peer, name, text, signal) {
  const kad = node.services.kad
  await asked(node, peer, signal)
  switch (name) {
    case 'kad-put': {
      const colon = text.indexOf(':')
      if (colon < 0) {
        throw new Error(`'${text}' is no key and value`)
      }
      const value = Buffer.from(text.slice(colon + 1))
      sent(await events(kad.put(key(text.slice(0, colon)), value, { signal })), peer, 'PUT_VALUE')
      return {}
    }
    case 'kad-get': {
      const found = (await events(kad.get(key(text), { signal }))).filter((event) => event.name === 'VALUE')
      if (found.length === 0) {
        throw new Error('nothing was found')
      }
      return { value: Buffer.from(found.at(-1).value).toString() }
    }
    case 'kad-provide':
      sent(await events(kad.provide(await cid(text), { signal })), peer, 'ADD_PROVIDER')
      return {}
    case 'kad-find-providers': {
      const found = new Set()
      for await (const event of kad.findProviders(await cid(text), { signal })) {
        event.name === 'PROVIDER' && event.providers.forEach((provider) => found.add(provider.id.toString()))
      }
      return some('providers', [...found])
    }
    case 'kad-find-peer': {
      const id = peerIdFromString(text)
      const { multiaddrs } = await node.peerRouting.findPeer(id, { signal, useCache: false })
      if (multiaddrs.length === 0) {
        // It ends with whoever names the peer first, and py-libp2p names itself without addresses: what is known of it counts then.
        const { addresses } = await node.peerStore.get(id)
        return some('addrs', addresses.map(({ multiaddr }) => String(multiaddr)))
      }
      return some('addrs', multiaddrs.map(String))
    }
    case 'kad-closest': {
      const found = new Set()
      for await (const event of kad.getClosestPeers((await sha256.digest(Buffer.from(text))).bytes, { signal })) {
        event.name === 'FINAL_PEER' && found.add(event.peer.id.toString())
      }
      return some('peers', [...found])
    }
  }
}
