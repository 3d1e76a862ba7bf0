// pg-boss: fetch and complete in a loop, a queue with a table of its own. Its supervision and scheduling are
// switched off in the workers: that favours it.
import { PgBoss } from 'pg-boss'
import { claimTimes, main, now, sleep } from './wire.mjs'

const SLICE = 1000
const QUEUE = 'jobs'

async function withBoss(wire, body, options = {}) {
  const boss = new PgBoss({ connectionString: wire.dsn, supervise: false, schedule: false, ...options })
  boss.on('error', (error) => console.error(error))
  await boss.start()
  try {
    return await body(boss)
  } finally {
    await boss.stop({ graceful: false })
  }
}

async function setup(wire) {
  await withBoss(wire, (boss) => boss.createQueue(QUEUE, { partition: true }))
}

async function enqueue(wire) {
  await withBoss(wire, async (boss) => {
    const started = performance.now()
    for (let first = 0; first < wire.job.jobs; first += SLICE) {
      const length = Math.min(SLICE, wire.job.jobs - first)
      await boss.insert(QUEUE, Array.from({ length }, (_, n) => ({ data: { number: first + n } })))
    }
    wire.say({ seconds: (performance.now() - started) / 1000 })
  })
}

async function work(wire) {
  await withBoss(wire, async (boss) => {
    await boss.getQueue(QUEUE)
    await wire.ready()
    wire.begin()
    while (!wire.stopped) {
      const jobs = await boss.fetch(QUEUE, { batchSize: wire.options.batch })
      if (jobs.length) {
        await boss.complete(QUEUE, jobs.map((job) => job.id))
        wire.done += jobs.length
        wire.tell()
      } else {
        wire.tell(true)
        await sleep(2)
      }
    }
  })
}

async function claims(wire) {
  return withBoss(wire, (boss) =>
    claimTimes(
      wire,
      () => boss.fetch(QUEUE, { batchSize: wire.job.batch }),
      (jobs) => boss.complete(QUEUE, jobs.map((job) => job.id)),
    ),
  )
}

async function wait(wire) {
  await withBoss(
    wire,
    async (boss) => {
      await boss.updateQueue(QUEUE, { notify: true })
      await boss.work(QUEUE, async ([job]) => wire.say({ got: job.data.number, at: now() }))
      wire.say({ ready: true })
      await wire.untilStopped()
    },
    { useListenNotify: true },
  )
}

async function send(wire) {
  await withBoss(wire, async (boss) => {
    wire.say({ ready: true })
    for (let number = 0; (await wire.word()) === 'go'; number++) {
      await boss.send(QUEUE, { number })
      wire.say({ sent: number, at: now() })
    }
  })
}

await main({ setup, enqueue, work, claims, wait, send })
