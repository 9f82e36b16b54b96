// A native node that listens on a WebSocket: any program that knows `PEER listen`, by default our own `p2p`.

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

// Starts it; resolves to its address, and to what ends it.
export async function listen (command) {
  const child = spawn(command, ['listen', '--transport', 'ws', '--services', 'identify,ping', '--timeout', '120', '--json'], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  for await (const line of createInterface({ input: child.stdout })) {
    const { event, addrs, what } = JSON.parse(line)
    if (event === 'listening') {
      return { addr: addrs[0], impl: JSON.parse(line).impl, stop: () => child.kill() }
    }
    throw new Error(`${command}: ${event} ${what ?? ''}`)
  }
  throw new Error(`${command} did not start`)
}
