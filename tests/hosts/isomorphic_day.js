// A day of isomorphic-git. Usage: isomorphic_day.js STEP DIRECTORY: one step, in the repository of one machine.
const assert = require('node:assert')
const fs = require('node:fs')
const git = require('isomorphic-git')

const [step, gitdir] = process.argv.slice(2)
const at = { fs, gitdir }
const author = { name: 'Test', email: 'test@example.com', timestamp: 1700000000, timezoneOffset: 0 }

// A commit with one more file, on a branch.
async function commit(branch, message) {
  const ref = `refs/heads/${branch}`
  const tip = await git.resolveRef({ ...at, ref }).catch(() => undefined)
  const blob = new TextEncoder().encode(`${message}\n`)
  const oid = await git.writeBlob({ ...at, blob })
  const tree = tip === undefined ? [] : (await git.readTree({ ...at, oid: tip })).tree
  const entry = { mode: '100644', path: `${message}.txt`, oid, type: 'blob' }
  const root = await git.writeTree({ ...at, tree: [...tree, entry] })
  return git.commit({ ...at, tree: root, parent: tip === undefined ? [] : [tip], ref, message, author })
}

const steps = {
  async begin() {
    await git.init({ ...at, bare: true, defaultBranch: 'main' })
    await commit('main', 'first')
  },
  async goes_on() {
    await commit('main', 'second')
    await commit('main', 'third')
    await git.setConfig({ ...at, path: 'receive.denyDeletes', value: true })
  },
  async branches() {
    await git.branch({ ...at, ref: 'topic', object: 'main' })
    await git.branch({ ...at, ref: 'team/next', object: 'main' })
    await commit('topic', 'on-topic')
    await git.renameBranch({ ...at, oldref: 'team/next', ref: 'team/now' })
    await git.annotatedTag({ ...at, ref: 'v1', object: 'main', message: 'version 1', tagger: author })
    await git.writeRef({ ...at, ref: 'HEAD', value: 'refs/heads/topic', symbolic: true, force: true })
    await git.writeRef({ ...at, ref: 'HEAD', value: 'refs/heads/main', symbolic: true, force: true })
  },
  async merges() {
    await git.merge({ ...at, ours: 'main', theirs: 'topic', author, fastForward: false })
    const log = await git.log({ ...at, ref: 'main' })
    assert.strictEqual(log.length, 5)
  },
  async packs() {
    const log = await git.log({ ...at, ref: 'main' })
    const { filename } = await git.packObjects({ ...at, oids: log.map(it => it.oid), write: true })
    await git.indexPack({ ...at, dir: gitdir, filepath: `objects/pack/${filename}` })
  },
  async looks() {
    assert.deepStrictEqual((await git.listBranches(at)).sort(), ['main', 'team/now', 'topic'])
    assert.deepStrictEqual(await git.listTags(at), ['v1'])
    const { blob } = await git.readBlob({ ...at, oid: await git.resolveRef({ ...at, ref: 'main' }), filepath: 'on-topic.txt' })
    assert.strictEqual(new TextDecoder().decode(blob), 'on-topic\n')
  },
  async removes() {
    await git.deleteBranch({ ...at, ref: 'topic' })
    await git.deleteBranch({ ...at, ref: 'team/now' })
    await git.deleteTag({ ...at, ref: 'v1' })
    assert.deepStrictEqual(await git.listBranches(at), ['main'])
  }
}

steps[step]().catch(error => {
  console.error(error)
  process.exit(1)
})
