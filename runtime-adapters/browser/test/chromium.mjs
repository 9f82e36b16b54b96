// In a browser: headless Chromium opens the page with the address of a native node behind it, and the page's log is read until its pings are answered.
// `node chromium.mjs SITE PEER CHROMIUM [SCREENSHOT.png]`

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { createInterface } from 'node:readline'
import { serve } from '../serve.mjs'
import { listen } from './peer.mjs'

const [site, command, chromium, screenshot] = process.argv.slice(2)
const ROUNDS = 5
const LIMIT_MS = 60_000

// The page, spoken to over Chromium's debugging protocol.
class Page {
  #last = 0
  #waiting = new Map()

  static async open (url) {
    const page = new Page()
    page.socket = new WebSocket(url)
    page.socket.onmessage = ({ data }) => {
      const { id, result } = JSON.parse(data)
      page.#waiting.get(id)?.(result)
      page.#waiting.delete(id)
    }
    await new Promise((resolve, reject) => Object.assign(page.socket, { onopen: resolve, onerror: reject }))
    return page
  }

  call (method, params = {}) {
    const id = ++this.#last
    this.socket.send(JSON.stringify({ id, method, params }))
    return new Promise((resolve) => this.#waiting.set(id, resolve))
  }

  async lines () {
    const expression = "[...document.querySelectorAll('#log li')].map((item) => item.textContent).join('\\n')"
    const { result } = await this.call('Runtime.evaluate', { expression })
    // While the page is being loaded there is nothing to read.
    return (result.value ?? '').split('\n').filter((line) => line !== '')
  }
}

const { addr, impl, stop } = await listen(command)
const server = await serve(site)
const profile = mkdtempSync(`${tmpdir()}/browser-`)
const browser = spawn(chromium, [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--window-size=900,600',
  '--remote-debugging-port=0', `--user-data-dir=${profile}`, `http://127.0.0.1:${server.address().port}/#${addr}`
], { stdio: ['ignore', 'ignore', 'pipe'] })
const ended = new Promise((resolve) => browser.on('exit', resolve))
const limit = setTimeout(() => { console.log(lines, 'the time limit was reached'); browser.kill('SIGKILL'); process.exit(1) }, LIMIT_MS)

let debugging
for await (const line of createInterface({ input: browser.stderr })) {
  debugging = /listening on ws:\/\/([^/]+)/.exec(line)?.[1]
  if (debugging) break
}
browser.stderr.resume()
const targets = await (await fetch(`http://${debugging}/json/list`)).json()
const page = await Page.open(targets.find(({ type }) => type === 'page').webSocketDebuggerUrl)

let lines
let pongs
do {
  await new Promise((resolve) => setTimeout(resolve, 100))
  lines = await page.lines()
  pongs = lines.filter((line) => line.startsWith('ping')).length
} while (pongs < ROUNDS && !lines.some((line) => /^(failed|disconnected)/.test(line)))
console.log(lines.join('\n'))
console.log(`${pongs} pings of ${impl} were answered`)
if (screenshot !== undefined) {
  const { data } = await page.call('Page.captureScreenshot')
  writeFileSync(screenshot, Buffer.from(data, 'base64'))
}

clearTimeout(limit)
page.socket.close()
server.close()
server.closeAllConnections()
stop()
browser.kill()
await ended
rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
process.exitCode = pongs === ROUNDS ? 0 : 1
