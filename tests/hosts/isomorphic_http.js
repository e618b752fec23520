// isomorphic-git at an HTTP door. Usage: isomorphic_http.js URL USER TOKEN DIRECTORY: clones, fetches and pushes
// `refs/heads/isomorphic`.
const assert = require('node:assert')
const fs = require('node:fs')
const git = require('isomorphic-git')
const http = require('isomorphic-git/http/node')

const [url, username, password, dir] = process.argv.slice(2)
const author = { name: 'Test', email: 'test@example.com', timestamp: 1700000000, timezoneOffset: 0 }
const at = { fs, http, dir, url, onAuth: () => ({ username, password }) }
const branch = 'isomorphic'

async function day() {
  await git.clone({ ...at, singleBranch: true, depth: 2 })
  await git.branch({ ...at, ref: branch, checkout: true })
  fs.writeFileSync(`${dir}/isomorphic.txt`, 'isomorphic\n')
  await git.add({ ...at, filepath: 'isomorphic.txt' })
  const oid = await git.commit({ ...at, message: 'isomorphic', author })
  const pushed = await git.push({ ...at, remote: 'origin', ref: branch })
  assert.ok(pushed.ok && pushed.refs[`refs/heads/${branch}`].ok, JSON.stringify(pushed))
  const refs = await git.listServerRefs({ ...at, prefix: `refs/heads/${branch}` })
  assert.strictEqual(refs[0].oid, oid)
  await git.fetch({ ...at, remote: 'origin', ref: 'main', singleBranch: true, depth: 10 })
  const wrong = { ...at, onAuth: () => ({ username, password: 'gmt_no' }), onAuthFailure: () => ({ cancel: true }) }
  await assert.rejects(git.getRemoteInfo({ ...wrong }), /401|cancel/i)
}

day().catch(error => {
  console.error(error)
  process.exit(1)
})
