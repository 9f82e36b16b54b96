// The stream protocols echo, perf and reqresp on js-libp2p streams, both ends.

export const ECHO = '/echo/1.0.0'
export const PERF = '/perf/1.0.0'
export const REQRESP = '/interop/reqresp/1.0.0'

const PIECE = new Uint8Array(64 * 1024)
const MAX_MESSAGE = 16 * 1024 * 1024

// Calls onData with everything that arrives; resolves at the end of the peer's data. The listeners are
// attached before this returns: a stream that ends before somebody listens does not say so again.
function read (stream, onData) {
  return new Promise((resolve, reject) => {
    stream.addEventListener('message', (event) => {
      try {
        onData(event.data)
      } catch (error) {
        reject(error)
        stream.abort(error)
      }
    })
    stream.addEventListener('end', () => resolve())
    stream.addEventListener('close', (event) => event.error == null ? resolve() : reject(event.error))
    if (stream.readableEnded) {
      resolve()
    } else if (stream.status !== 'open' && stream.readBufferLength === 0) {
      reject(new Error(`the stream is ${stream.status}`))
    }
  })
}

async function readAll (stream) {
  const pieces = []
  let total = 0
  await read(stream, (data) => {
    total += data.byteLength
    if (total > MAX_MESSAGE) {
      throw new Error('the message is too long')
    }
    pieces.push(data.slice())
  })
  return Buffer.concat(pieces)
}

// Waits until more may be sent. (`stream.onDrain` of js-libp2p 3.3.11 waits only the first time: afterwards it
// resolves at once, and whoever trusts it fills the memory and sends frames as large as the peer's window.)
async function drained (stream) {
  if (!stream.writableNeedsDrain) {
    return
  }
  const done = new AbortController()
  try {
    await new Promise((resolve, reject) => {
      const options = { once: true, signal: done.signal }
      stream.addEventListener('drain', () => resolve(), options)
      stream.addEventListener('close', (event) => reject(event.error ?? new Error('the stream closed')), options)
    })
  } finally {
    done.abort()
  }
}

async function sendZeros (stream, count) {
  while (count > 0) {
    const size = Math.min(count, PIECE.byteLength)
    if (!stream.send(size === PIECE.byteLength ? PIECE : PIECE.subarray(0, size))) {
      await drained(stream)
    }
    count -= size
  }
}

// Sends one message, half-closes and gives the whole answer.
export async function ask (stream, message) {
  const answer = readAll(stream)
  answer.catch(() => {})
  if (message.byteLength > 0 && !stream.send(message)) {
    await drained(stream)
  }
  await stream.close()
  return answer
}

export async function serveEcho (stream) {
  await read(stream, (data) => {
    if (!stream.send(data)) {
      stream.pause()
      drained(stream).then(() => stream.resume()).catch(() => {})
    }
  })
  await stream.close()
}

export async function serveReqresp (stream) {
  const request = await readAll(stream)
  if (!stream.send(Buffer.concat([Buffer.from('re:'), request]))) {
    await drained(stream)
  }
  await stream.close()
}

// Client of perf: sends `up` bytes, half-closes, and checks that exactly `down` bytes come.
export async function perf (stream, up, down) {
  let received = 0
  const ended = read(stream, (data) => { received += data.byteLength })
  ended.catch(() => {})
  const count = Buffer.alloc(8)
  count.writeBigUInt64BE(BigInt(down))
  stream.send(count)
  await sendZeros(stream, up)
  await stream.close()
  await ended
  if (received !== down) {
    throw new Error(`asked for ${down} bytes, got ${received}`)
  }
}

export async function servePerf (stream) {
  const head = Buffer.alloc(8)
  let received = 0
  await read(stream, (data) => {
    if (received < 8) {
      head.set(data.subarray(0, 8 - received), received)
    }
    received += data.byteLength
  })
  if (received < 8) {
    throw new Error('the request is too short')
  }
  await sendZeros(stream, Number(head.readBigUInt64BE()))
  await stream.close()
}

// `count` round trips of 32 bytes on one stream, in milliseconds each.
export async function ping (stream, count) {
  const times = []
  let received = []
  let arrived
  const ended = read(stream, (data) => {
    received.push(...data.subarray())
    if (received.length >= 32) {
      arrived?.()
    }
  })
  ended.catch(() => {})
  for (let round = 0; round < count; round++) {
    const data = crypto.getRandomValues(new Uint8Array(32))
    const begun = performance.now()
    const back = new Promise((resolve) => { arrived = resolve })
    stream.send(data)
    await Promise.race([back, ended.then(() => { throw new Error('the stream ended') })])
    times.push(performance.now() - begun)
    if (received.length !== 32 || !data.every((byte, at) => byte === received[at])) {
      throw new Error('other bytes came back')
    }
    received = []
  }
  await stream.close()
  return times
}
