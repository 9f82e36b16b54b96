// The runtime of the node in a browser: its WebSockets carry the bytes, its timer wakes the node. Node.js has the same two.

import { Node } from './pkg/node.js'

export class Runtime {
  #node = new Node(crypto.getRandomValues(new Uint8Array(32)))
  #sockets = new Map()
  #timer

  // `onEvent` gets every event of the node: { kind, peer, text, ms }.
  constructor (onEvent) {
    this.onEvent = onEvent
  }

  get peerId () { return this.#node.peerId() }

  dial (addr) { this.#node.dial(performance.now(), addr); this.#turn() }
  ping (peer, rounds) { this.#node.ping(peer, rounds); this.#turn() }
  close () { this.#node.close(performance.now()); this.#turn() }

  // After anything that happens: does all that can be done, then sleeps until the next deadline.
  #turn () {
    const now = performance.now()
    let busy = true
    while (busy) {
      this.#node.drive(now, Date.now())
      busy = false
      for (let order; (order = this.#node.pollOrder(now)) !== undefined; busy = true) {
        this.#carryOut(order)
      }
    }
    clearTimeout(this.#timer)
    const wait = this.#node.pollTimeout(now)
    if (wait !== undefined) {
      this.#timer = setTimeout(() => this.#turn(), Math.ceil(wait))
    }
    // The last: the application may call us back.
    for (let event; (event = this.#node.pollEvent()) !== undefined;) {
      this.onEvent(event)
    }
  }

  #carryOut ({ kind, conn, url, addr, bytes }) {
    switch (kind) {
      case 'connect':
        this.#connect(conn, url, addr)
        break
      case 'send':
        this.#sockets.get(conn)?.send(bytes)
        break
      case 'close':
        this.#letGo(conn)
    }
  }

  #connect (conn, url, addr) {
    let socket
    try {
      socket = new WebSocket(url)
    } catch {
      // A secure page may not open an insecure socket.
      return this.#node.handleClose(performance.now(), conn)
    }
    socket.binaryType = 'arraybuffer'
    this.#sockets.set(conn, socket)
    // What a socket says after the node has let go of it means nothing.
    const on = (name, react) => socket.addEventListener(name, (event) => {
      if (this.#sockets.get(conn) === socket) {
        react(event)
        this.#turn()
      }
    })
    on('open', () => {
      if (!this.#node.handleOpen(performance.now(), conn, addr)) {
        this.#letGo(conn)
      }
    })
    on('message', ({ data }) => this.#node.handleInput(performance.now(), conn, new Uint8Array(data)))
    // Node.js 22 reports some failures by an error alone.
    for (const end of ['error', 'close']) {
      on(end, () => {
        this.#letGo(conn)
        this.#node.handleClose(performance.now(), conn)
      })
    }
  }

  #letGo (conn) {
    const socket = this.#sockets.get(conn)
    // First, so that nobody hears of a close of ours.
    this.#sockets.delete(conn)
    socket?.close()
  }
}
