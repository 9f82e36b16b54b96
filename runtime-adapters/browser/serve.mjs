// Serves the page: `node serve.mjs SITE [PORT]`.

import { createReadStream } from 'node:fs'
import { createServer } from 'node:http'
import { extname, join, normalize } from 'node:path'
import { pathToFileURL } from 'node:url'

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' }

// Resolves to the server, on loopback.
export function serve (site, port = 0) {
  const server = createServer(({ url }, response) => {
    const path = normalize(new URL(url, 'http://page').pathname)
    const file = join(site, path === '/' ? 'index.html' : path)
    createReadStream(file)
      .on('open', () => response.setHeader('content-type', TYPES[extname(file)] ?? 'application/octet-stream'))
      .on('error', () => { response.statusCode = 404; response.end() })
      .pipe(response)
  })
  return new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(server)))
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const server = await serve(process.argv[2], Number(process.argv[3] ?? 8000))
  console.log(`http://127.0.0.1:${server.address().port}/`)
}
