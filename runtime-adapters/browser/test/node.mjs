// Under Node.js, which has a browser's WebSocket, timers and crypto: connects, identifies, pings, closes. `node node.mjs SITE PEER`

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { listen } from './peer.mjs'

const [site, command] = process.argv.slice(2)
const { initSync } = await import(pathToFileURL(`${site}/pkg/node.js`))
const { Runtime } = await import(pathToFileURL(`${site}/runtime.js`))
initSync({ module: readFileSync(`${site}/pkg/node_bg.wasm`) })

const ROUNDS = 5
const LIMIT_MS = 30_000

// Resolves to everything that a node tells of one dial, until it is over.
function meet (addr) {
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => reject(new Error('the time limit was reached')), LIMIT_MS)
    const events = []
    const node = new Runtime(({ kind, peer, text, ms }) => {
      console.log(`${kind} ${ms === undefined ? text : `${ms.toFixed(2)} ms`}`)
      events.push({ kind, text })
      if (kind === 'identified') {
        node.ping(peer, ROUNDS)
      } else if (events.filter(({ kind }) => kind === 'ping').length === ROUNDS) {
        node.close()
      }
      if (kind === 'disconnected' || kind === 'failed') {
        clearTimeout(limit)
        resolve(events)
      }
    })
    console.log(`${node.peerId} dials ${addr}`)
    node.dial(addr)
  })
}

const { addr, impl, stop } = await listen(command)
// The second time by a name, which the browser resolves.
for (const dialed of [addr, addr.replace('/ip4/127.0.0.1/', '/dns4/localhost/')]) {
  const events = await meet(dialed)
  assert.deepEqual(events.map(({ kind }) => kind), ['connected', 'identified', ...Array(ROUNDS).fill('ping'), 'disconnected'])
  assert.equal(events.at(-1).text, '', 'the end is an orderly one')
}
console.log(`${impl} was met twice`)
stop()

const nobody = await meet('/ip4/127.0.0.1/tcp/1/ws')
assert.deepEqual(nobody.map(({ kind }) => kind), ['failed'])
