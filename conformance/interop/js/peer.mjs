// js-libp2p behind the interoperability command line.

import { readFileSync } from 'node:fs'
import { noise } from '@chainsafe/libp2p-noise'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { generateKeyPair, generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { fetch } from '@libp2p/fetch'
import { gossipsub } from '@libp2p/gossipsub'
import { identify, identifyPush } from '@libp2p/identify'
import { mplex } from '@libp2p/mplex'
import { ping } from '@libp2p/ping'
import { plaintext } from '@libp2p/plaintext'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import * as kad from './kad.mjs'
import * as reach from './reach.mjs'
import * as streams from './streams.mjs'

const IMPL = 'js-libp2p'
const VERSION = JSON.parse(readFileSync(new URL('./node_modules/libp2p/package.json', import.meta.url))).version
const SERVICES = ['identify', 'push', 'ping', 'perf', 'echo', 'reqresp', 'fetch', 'gossip', 'kad', 'relay', 'dcutr', 'autonat', 'autonat2', 'mdns']
// A listener mounts these only if it is asked to.
const ON_REQUEST = ['dcutr', 'autonat', 'autonat2', 'mdns']
const LISTENING = /^(kad-|relay-reserve|dcutr)/
const TRANSPORTS = { tcp: '/ip4/127.0.0.1/tcp/0', ws: '/ip4/127.0.0.1/tcp/0/ws' }
const SECURITY = { noise, tls, plaintext }
const MUXERS = { yamux, mplex }
// js-libp2p makes ECDSA keys but takes none as an identity ("Unsupported key type").
const KEYS = ['ed25519', 'secp256k1', 'rsa']
const KNOWN_KEYS = [...KEYS, 'ecdsa']
const CODE = { ok: 0, failed: 1, unsupported: 2, usage: 64 }

class Unsupported extends Error {}

// js-libp2p throws some errors where nobody can catch them, for one when both ends close at once.
process.on('uncaughtException', (error) => console.error('uncaught:', error))
process.on('unhandledRejection', (error) => console.error('unhandled:', error))

function line (value) {
  return new Promise((resolve) => process.stdout.write(JSON.stringify(value) + '\n', resolve))
}

function describe (error) {
  let text = ''
  for (let cause = error; cause != null && text.length < 2000; cause = cause.errors?.[0] ?? cause.cause) {
    if (cause instanceof Event) {
      cause = cause.error ?? new Error(`the stream got the event '${cause.type}'`)
    }
    text += (text === '' ? '' : ': ') + (cause.name == null || cause.name === 'Error' ? '' : cause.name + ': ') + (cause.message ?? cause)
  }
  return text
}

function usage (text) {
  console.error(`${text}\nusage: PEER listen [options] | PEER dial ADDR --do ACTION [--do ACTION ...] [options]`)
  process.exit(CODE.usage)
}

function parse (args) {
  const verb = args.shift()
  if (verb !== 'listen' && verb !== 'dial') {
    usage(`unknown sub-command ${verb}`)
  }
  const dialing = verb === 'dial'
  const o = { dialing, transports: [], listen: [], peers: [], topics: [], security: [], muxers: [], key: 'ed25519', kad: '/interop/kad/1.0.0', actions: [], timeout: dialing ? 30 : 300, bad: [] }
  const choose = (list, known, what, value) => known.includes(value) ? list.push(value) : o.bad.push(`${what} ${value}`)
  while (args.length > 0) {
    let name = args.shift()
    if (name === '--json') {
      continue
    }
    if (!name.startsWith('--')) {
      if (!dialing || o.addr != null) {
        usage('too many arguments')
      }
      o.addr = name
      continue
    }
    let value
    const equals = name.indexOf('=')
    if (equals > 0) {
      value = name.slice(equals + 1)
      name = name.slice(0, equals)
    } else {
      value = args.shift()
    }
    if (value == null) {
      usage(`${name} needs a value`)
    }
    switch (name) {
      case '--do': o.actions.push(value); break
      case '--transport': if (!dialing) { choose(o.transports, Object.keys(TRANSPORTS), 'transport', value) } break
      case '--listen': o.listen.push(value); break
      case '--security': choose(o.security, Object.keys(SECURITY), 'security', value); break
      case '--muxer': choose(o.muxers, Object.keys(MUXERS), 'muxer', value); break
      case '--key': if (KNOWN_KEYS.includes(value)) { o.key = value } else { usage(`unknown key type ${value}`) } break
      case '--seed': o.seed = Number(value); if (!Number.isInteger(o.seed) || o.seed < 0 || o.seed > 0xffffffff) { usage(`${value} is no 32-bit number`) } break
      case '--services': o.services = value.split(',').filter((name) => name !== ''); break
      case '--relay': o.relay = value; break
      case '--peer': o.peers.push(value); break
      case '--topic': o.topics.push(value); break
      case '--kad-protocol': if (!value.startsWith('/')) { usage(`${value} is no protocol id`) } o.kad = value; break
      case '--timeout': o.timeout = Number(value); if (!(o.timeout >= 0)) { usage(`${value} is no time-out`) } break
      default: usage(`unknown option ${name}`)
    }
  }
  if (dialing && (o.addr == null || o.actions.length === 0)) {
    usage(o.addr == null ? 'no address' : 'no action')
  }
  for (const addr of dialing ? [o.addr] : [...o.listen, ...(o.relay == null ? [] : [o.relay])]) {
    if (!/^\/(ip4|ip6|dns|dns4|dns6)\/[^/]+\/tcp\/\d+(\/(ws|wss|tls\/ws))?(\/p2p\/[^/]+)?(\/p2p-circuit(\/p2p\/[^/]+)?)?$/.test(addr)) {
      o.bad.push(`address ${addr}`)
    }
  }
  if (!KEYS.includes(o.key)) {
    o.bad.push(`key ${o.key}`)
  }
  for (const name of o.services ?? []) {
    if (!SERVICES.includes(name)) {
      o.bad.push(`service ${name}`)
    }
  }
  const does = (name) => o.actions.some((action) => action === name || action.startsWith(name + '-') || action.startsWith(name + ':'))
  const usual = SERVICES.slice(0, 8)
  o.mounted = SERVICES.filter((name) => {
    if (dialing) {
      return usual.includes(name) || (name !== 'relay' && does(name))
    }
    return o.services == null ? !ON_REQUEST.includes(name) : o.services.includes(name)
  })
  if (dialing) {
    o.listen = o.listen.length > 0 ? o.listen : o.actions.some((action) => LISTENING.test(action)) ? [TRANSPORTS.tcp] : []
  } else if (o.listen.length === 0) {
    o.listen = (o.transports.length > 0 ? o.transports : ['tcp']).map((name) => TRANSPORTS[name])
  }
  return o
}

async function privateKey (o) {
  if (o.seed != null) {
    const seed = Buffer.alloc(32)
    seed.writeUInt32LE(o.seed)
    return generateKeyPairFromSeed('Ed25519', seed)
  }
  switch (o.key) {
    case 'ed25519': return generateKeyPair('Ed25519')
    case 'secp256k1': return generateKeyPair('secp256k1')
    default: return generateKeyPair('RSA', 2048)
  }
}

async function start (o) {
  const wants = (name) => o.mounted.includes(name)
  const services = {}
  if (wants('identify')) { services.identify = identify() }
  if (wants('push')) { services.push = identifyPush() }
  if (wants('ping')) { services.ping = ping() }
  if (wants('fetch')) { services.fetch = fetch() }
  if (wants('gossip')) { services.pubsub = gossipsub({ allowPublishToZeroTopicPeers: true }) }
  if (wants('kad')) { services.kad = kad.service(o.kad, o.dialing) }
  Object.assign(services, reach.services(wants))
  const node = await createLibp2p({
    privateKey: await privateKey(o),
    addresses: {
      listen: [...o.listen, ...(o.relay == null ? [] : [`${o.relay}/p2p-circuit`])],
      // Where others see us, which js-libp2p believes nobody but its user: behind a NAT of a test run.
      appendAnnounce: (process.env.INTEROP_ANNOUNCE ?? '').split(',').filter((addr) => addr !== '')
    },
    transports: [tcp(), webSockets(), circuitRelayTransport()],
    peerDiscovery: reach.discovery(wants),
    connectionEncrypters: (o.security.length > 0 ? o.security : ['noise', 'tls']).map((name) => SECURITY[name]()),
    streamMuxers: (o.muxers.length > 0 ? o.muxers : ['yamux']).map((name) => MUXERS[name]()),
    connectionGater: { denyDialMultiaddr: () => false },
    // All peers of a test run come from one host.
    connectionManager: { inboundConnectionThreshold: 100000, maxIncomingPendingConnections: 1000, maxConnections: 10000 },
    services
  })
  const many = { maxInboundStreams: 1000, maxOutboundStreams: 1000, runOnLimitedConnection: true }
  const serve = (protocol, handler) => node.handle(protocol, async (stream) => {
    try {
      await handler(stream)
    } catch (error) {
      console.error(`${protocol}: ${describe(error)}`)
      stream.abort(error)
    }
  }, many)
  if (!o.dialing) {
    if (wants('echo')) { await serve(streams.ECHO, streams.serveEcho) }
    if (wants('perf')) { await serve(streams.PERF, streams.servePerf) }
    if (wants('reqresp')) { await serve(streams.REQRESP, streams.serveReqresp) }
    node.services.fetch?.registerLookupFunction('interop/', async (key) => {
      const name = Buffer.from(key).toString().slice('interop/'.length)
      return name === 'missing' ? undefined : Buffer.from(`value-of-${name}`)
    })
  }
  if (!o.dialing && wants('kad')) { await kad.serve(node) }
  if (!o.dialing && wants('gossip')) {
    const pubsub = node.services.pubsub
    pubsub.addEventListener('message', ({ detail: { topic, data, from } }) => {
      const text = Buffer.from(data)
      if (text.subarray(0, 4).toString() === 'ack:') {
        return
      }
      const head = text.subarray(0, 64)
      line({ event: 'gossip', topic, from: from?.toString() ?? null, bytes: text.length, data: head.toString() })
      pubsub.publish(topic, Buffer.concat([Buffer.from('ack:'), head])).catch((error) => console.error(`ack: ${describe(error)}`))
    })
    for (const topic of o.topics.length > 0 ? o.topics : ['interop']) {
      pubsub.subscribe(topic)
    }
  }
  return node
}

// Publishes messages, each until it is acknowledged.
async function gossip (node, peer, topic, count, size) {
  const pubsub = node.services.pubsub
  pubsub.subscribe(topic)
  while (!pubsub.getSubscribers(topic).some((known) => known.equals(peer))) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  let published = 0
  for (let i = 0; i < count; i++) {
    let acked = false
    for (let attempt = 0; attempt < 3 && !acked; attempt++) {
      const body = Buffer.from(`message ${i}.${attempt} of ${process.pid}`.padEnd(size, '.'))
      const wanted = Buffer.concat([Buffer.from('ack:'), body.subarray(0, 64)])
      acked = await new Promise((resolve, reject) => {
        const heard = ({ detail }) => { if (wanted.equals(Buffer.from(detail.data))) { done(true) } }
        const timer = setTimeout(() => done(false), 4000)
        const done = (value) => {
          clearTimeout(timer)
          pubsub.removeEventListener('message', heard)
          resolve(value)
        }
        pubsub.addEventListener('message', heard)
        published++
        pubsub.publish(topic, body).catch(reject)
      })
    }
    if (!acked) {
      throw new Error(`message ${i} was not acknowledged`)
    }
  }
  return { acks: count, published }
}

async function stop (node, code) {
  // An end that does not come by itself within a second is not worth waiting for.
  await Promise.race([node?.stop(), new Promise((resolve) => setTimeout(resolve, 1000))]).catch(() => {})
  process.exit(code)
}

async function listen (o) {
  if (o.bad.length > 0) {
    await line({ event: 'unsupported', what: o.bad[0] })
    process.exit(CODE.unsupported)
  }
  let node
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.on(signal, () => stop(node, CODE.ok))
  }
  setTimeout(() => stop(node, CODE.ok), o.timeout * 1000)
  node = await start(o)
  const known = new Map()
  node.addEventListener('peer:disconnect', (event) => known.delete(event.detail.toString()))
  node.addEventListener('peer:identify', (event) => {
    const peer = event.detail.peerId.toString()
    const protocols = [...event.detail.protocols].sort()
    if (known.get(peer) !== protocols.join()) {
      known.set(peer, protocols.join())
      line({ event: 'identify-push', peer, protocols })
    }
  })
  node.addEventListener('peer:discovery', (event) => {
    if (o.mounted.includes('mdns')) {
      line({ event: 'discovered', peer: event.detail.id.toString() })
    }
  })
  for (const peer of o.peers) {
    await node.dial(multiaddr(peer))
  }
  if (o.relay != null) {
    await reach.reserved(node, o.timeout * 1000)
    await line({ event: 'reservation', peer: multiaddr(o.relay).getComponents().at(-1).value })
  }
  await line({
    event: 'listening', peerId: node.peerId.toString(), addrs: node.getMultiaddrs().map(String), impl: IMPL, version: VERSION, services: o.mounted
  })
}

function number (text) {
  const value = Number(text)
  if (text === '' || !Number.isSafeInteger(value) || value < 0) {
    throw new Error(`'${text}' is no number`)
  }
  return value
}

// Does one action; gives the extra fields of its line.
async function act (node, connection, action, signal) {
  const [name, ...rest] = action.split(':')
  const text = action.slice(name.length + 1)
  const open = (protocol) => connection.newStream(protocol, { signal, maxOutboundStreams: 1000, runOnLimitedConnection: true })
  switch (name) {
    case 'ping': {
      // First js-libp2p's own way, one round on a stream that it half-closes at once; then all rounds on one stream.
      await node.services.ping.ping(connection.remotePeer, { signal })
      return { rttMs: await streams.ping(await open('/ipfs/ping/1.0.0'), text === '' ? 3 : number(text)) }
    }
    case 'identify': {
      const id = await identified(node, connection, signal)
      if (!id.peerId.equals(connection.remotePeer) || !id.agentVersion) {
        throw new Error('the message is from another peer or has no agent version')
      }
      return {
        agentVersion: id.agentVersion, protocolVersion: id.protocolVersion, protocols: id.protocols,
        listenAddrs: id.listenAddrs.map(String), observedAddr: id.observedAddr?.toString()
      }
    }
    case 'push': {
      if (!text.startsWith('/')) {
        throw new Error(`'${text}' is no protocol name`)
      }
      // js-libp2p pushes only to peers that are known to take pushes, so identify has to be over.
      const id = await identified(node, connection, signal)
      if (!id.protocols.includes('/ipfs/id/push/1.0.0')) {
        throw new Error('the peer takes no pushes')
      }
      const sent = pushSent(connection)
      await node.handle(text, (stream) => stream.abort(new Error('nothing is served here')))
      await sent
      return {}
    }
    case 'perf': {
      const up = number(rest[0] ?? '')
      const down = number(rest[1] ?? '')
      const begun = performance.now()
      await streams.perf(await open(streams.PERF), up, down)
      return { upBytes: up, downBytes: down, seconds: (performance.now() - begun) / 1000 }
    }
    case 'echo': {
      const echo = (await streams.ask(await open(streams.ECHO), Buffer.from(text))).toString()
      if (echo !== text) {
        throw new Error(`sent '${text}', got '${echo}'`)
      }
      return { echo }
    }
    case 'reqresp': {
      const response = (await streams.ask(await open(streams.REQRESP), Buffer.from(text))).toString()
      if (response !== `re:${text}`) {
        throw new Error(`sent '${text}', got '${response}'`)
      }
      return { response }
    }
    case 'fetch': {
      const bytes = await node.services.fetch.fetch(connection.remotePeer, `interop/${text}`, { signal })
      const value = bytes == null ? null : Buffer.from(bytes).toString()
      if (value !== (text === 'missing' ? null : `value-of-${text}`)) {
        throw new Error(`got ${value}`)
      }
      return { value }
    }
    case 'gossip': {
      if (rest[0] == null || rest[0] === '') {
        throw new Error('no topic')
      }
      return gossip(node, connection.remotePeer, rest[0], number(rest[1] ?? '1'), number(rest[2] ?? '0'))
    }
    case 'wait':
      await new Promise((resolve) => setTimeout(resolve, Number(text) * 1000))
      return {}
    case 'alive':
      if (connection.status !== 'open') {
        throw new Error(`the connection is ${connection.status}`)
      }
      return {}
    default: {
      const fields = name.startsWith('kad-')
        ? await kad.act(node, connection.remotePeer, name, text, signal)
        : await reach.act(node, connection, name, signal)
      if (fields == null) {
        throw new Unsupported(`${IMPL} cannot do ${name}`)
      }
      return fields
    }
  }
}

// js-libp2p asks every new peer to identify itself and allows one such stream at a time. If its own question
// brings nothing, asking again gives the reason.
async function identified (node, connection, signal) {
  const first = await Promise.race([node.firstIdentify, new Promise((resolve) => setTimeout(resolve, 5000))])
  return first ?? node.services.identify.identify(connection, { signal })
}

// Resolves when a push has been written to the peer to its end; js-libp2p has no event for that.
async function pushSent (connection) {
  const newStream = connection.newStream
  try {
    await new Promise((resolve, reject) => {
      connection.newStream = async (protocols, options) => {
        const stream = await newStream.call(connection, protocols, options).catch((error) => { reject(error); throw error })
        if (stream.protocol === '/ipfs/id/push/1.0.0') {
          const close = stream.close
          stream.close = (options) => close.call(stream, options).then(resolve, reject)
        }
        return stream
      }
    })
  } finally {
    connection.newStream = newStream
  }
}

async function dial (o) {
  if (o.bad.length > 0) {
    await line({ do: 'connect', ok: false, unsupported: true, error: `not supported: ${o.bad[0]}` })
    process.exit(CODE.unsupported)
  }
  const over = new AbortController()
  const timer = setTimeout(() => over.abort(new Error('the time-out ran out')), o.timeout * 1000)
  const timedOut = new Promise((resolve, reject) => over.signal.addEventListener('abort', () => reject(over.signal.reason)))
  timedOut.catch(() => {})
  let node
  let connection
  try {
    node = await start(o)
    // Who is dialed through a relay has to be told from the relay, which identifies itself first.
    const target = o.addr.match(/\/p2p\/([^/]+)$/)?.[1]
    node.firstIdentify = new Promise((resolve) => node.addEventListener('peer:identify', ({ detail }) => {
      if (target == null || detail.peerId.toString() === target) {
        resolve(detail)
      }
    }))
    const begun = performance.now()
    connection = await Promise.race([node.dial(multiaddr(o.addr), { signal: over.signal }), timedOut])
    await line({
      do: 'connect', ok: true, ms: performance.now() - begun, peerId: connection.remotePeer.toString(),
      security: connection.encryption ?? null, muxer: connection.multiplexer ?? null, relayed: connection.limits != null
    })
  } catch (error) {
    await line({ do: 'connect', ok: false, error: describe(error) })
    return stop(node, CODE.failed)
  }
  let code = CODE.ok
  for (const action of o.actions) {
    // After an upgrade js-libp2p itself closes the relayed connection.
    connection = connection.status === 'open' ? connection : node.getConnections(connection.remotePeer).find(({ status }) => status === 'open') ?? connection
    try {
      const fields = await Promise.race([timedOut, act(node, connection, action, over.signal)])
      await line({ do: action, ok: true, ...fields })
    } catch (error) {
      const unsupported = error instanceof Unsupported
      await line({ do: action, ok: false, ...(unsupported ? { unsupported } : {}), error: describe(error) })
      code = unsupported ? (code === CODE.ok ? CODE.unsupported : code) : CODE.failed
    }
  }
  clearTimeout(timer)
  return stop(node, code)
}

const options = parse(process.argv.slice(2))
await (options.dialing ? dial(options) : listen(options)).catch(async (error) => {
  console.error(describe(error))
  process.exit(CODE.failed)
})
