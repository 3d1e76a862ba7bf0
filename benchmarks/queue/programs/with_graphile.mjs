// graphile-worker: its runner with a list of tasks. Options are those of its `worker` preset: with none of them it
// claims and completes job by job; localQueue and completeJobBatchDelay are its documented batching.
import { Logger, makeWorkerUtils, run, WorkerPreset } from 'graphile-worker'
import { main, now } from './wire.mjs'

const SLICE = 1000
const silent = new Logger(() => () => {})

function preset(wire) {
  const worker = { connectionString: wire.dsn, logger: silent, ...wire.options.worker }
  return { extends: [WorkerPreset], worker }
}

async function withUtils(wire, body) {
  const utils = await makeWorkerUtils({ connectionString: wire.dsn, logger: silent })
  try {
    return await body(utils)
  } finally {
    await utils.release()
  }
}

async function setup(wire) {
  await withUtils(wire, (utils) => utils.migrate())
}

async function enqueue(wire) {
  await withUtils(wire, async (utils) => {
    const started = performance.now()
    for (let first = 0; first < wire.job.jobs; first += SLICE) {
      const length = Math.min(SLICE, wire.job.jobs - first)
      await utils.addJobs(Array.from({ length }, (_, n) => ({ identifier: 'noop', payload: { number: first + n } })))
    }
    wire.say({ seconds: (performance.now() - started) / 1000 })
  })
}

async function work(wire) {
  await wire.ready()
  const runner = await run({ preset: preset(wire), taskList: { noop: () => wire.handled() }, noHandleSignals: true })
  await wire.untilStopped()
  await runner.stop()
}

async function wait(wire) {
  const taskList = { noop: ({ number }) => wire.say({ got: number, at: now() }) }
  const runner = await run({ preset: preset(wire), taskList, noHandleSignals: true })
  wire.say({ ready: true })
  await wire.untilStopped()
  await runner.stop()
}

async function send(wire) {
  await withUtils(wire, async (utils) => {
    wire.say({ ready: true })
    for (let number = 0; (await wire.word()) === 'go'; number++) {
      await utils.addJob('noop', { number })
      wire.say({ sent: number, at: now() })
    }
  })
}

await main({ setup, enqueue, work, wait, send })
