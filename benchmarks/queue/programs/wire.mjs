// How a Node program talks with the benchmark: the same lines as wire.py.
import { createInterface } from 'node:readline'

const TELL_MS = 20

export const now = () => (performance.timeOrigin + performance.now()) / 1000

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

export class Wire {
  done = 0
  first = 0
  stopped = false
  #told = -1
  #toldAt = 0
  #words = []
  #waiting = []

  static open() {
    const wire = new Wire()
    return new Promise((resolve) => {
      createInterface({ input: process.stdin })
        .on('line', (line) => {
          if (wire.job) return wire.#hear(line.trim())
          wire.job = JSON.parse(line)
          wire.dsn = wire.job.dsn
          wire.options = wire.job.options ?? {}
          resolve(wire)
        })
        .on('close', () => wire.#hear('stop')) // the benchmark is gone
    })
  }

  say(message) {
    process.stdout.write(JSON.stringify(message) + '\n')
  }

  word() {
    if (this.#words.length) return Promise.resolve(this.#words.shift())
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  async ready() {
    this.say({ ready: true })
    await this.word()
  }

  begin() {
    this.first ||= now()
  }

  handled() {
    this.begin()
    this.done += 1
  }

  tell(force = false) {
    const at = performance.now()
    if (this.done === this.#told || (!force && at - this.#toldAt < TELL_MS)) return
    this.#told = this.done
    this.#toldAt = at
    this.say({ done: this.done, first: this.first })
  }

  async untilStopped() {
    while (!this.stopped) {
      this.tell(true)
      await sleep(TELL_MS)
    }
  }

  #hear(word) {
    if (word === 'stop') this.stopped = true
    const next = this.#waiting.shift()
    if (next) next(word)
    else this.#words.push(word)
  }
}

export async function main(verbs) {
  const wire = await Wire.open()
  const answer = await verbs[wire.job.verb](wire)
  if (answer !== undefined) wire.say({ milliseconds: answer })
  wire.say({ ended: true })
  process.stdout.end(() => process.exit(0))
}

// Time claims, in milliseconds; what was claimed is completed off the clock.
export async function claimTimes(wire, claim, complete) {
  const times = []
  const { warm, count, batch, seconds } = wire.job
  const until = performance.now() + seconds * 1000
  for (let turn = 0; turn < warm + count && performance.now() < until; turn++) {
    const started = performance.now()
    const claimed = await claim()
    const spent = performance.now() - started
    if (claimed.length !== batch) throw new Error(`a claim of ${batch} gave ${claimed.length}`)
    await complete(claimed)
    if (turn >= warm) times.push(spent)
  }
  return times
}
