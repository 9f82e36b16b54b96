// Under Node.js, which has a browser's WebSocket, timers and crypto: connects, identifies, pings, closes. `node node.mjs SITE PEER`

import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { listen } from './peer.mjs'

const [site, command] = process.argv.slice(2)
const { initSync } = await import(pathToFileURL(`${site}/pkg/node.js`))
const { Runtime } = await import(pathToFileURL(`${site}/runtime.js`))
initSync({ module: readFileSync(`${site}/pkg/node_bg.wasm`) })

const ROUNDS = 5
const { addr, impl, stop } = await listen(command)
const limit = setTimeout(() => end(1, 'the time limit was reached'), 30_000)
let pongs = 0

const node = new Runtime(({ kind, peer, text, ms }) => {
  console.log(`${kind}: ${kind === 'ping' ? `${ms.toFixed(2)} ms` : `${peer ?? ''} ${text}`}`)
  if (kind === 'identified') {
    node.ping(peer, ROUNDS)
  } else if (kind === 'ping' && ++pongs === ROUNDS) {
    node.close()
  } else if (kind === 'disconnected') {
    end(pongs === ROUNDS && text === '' ? 0 : 1, `${pongs} pings of ${impl} were answered`)
  } else if (kind === 'failed') {
    end(1, 'failed')
  }
})
console.log(`${node.peerId} dials ${addr}`)
node.dial(addr)

function end (code, text) {
  clearTimeout(limit)
  stop()
  console.log(text)
  process.exitCode = code
}
