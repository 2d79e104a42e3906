// A member of a group in a process of its own, driven by the suite `groups`, whose README tells options and events.

import { createInterface } from 'node:readline'
import kafkajs from 'kafkajs'

const { Kafka, PartitionAssigners, logLevel } = kafkajs
const HEARTBEAT_MS = 300

function tell(event, details = {}) {
  console.log(JSON.stringify({ event, ...details }))
}

// kafkajs has no callbacks around a rebalance; it tells what it holds after each one.
function watchAssignment(consumer) {
  const names = (assignment) =>
    Object.entries(assignment).flatMap(([topic, partitions]) => partitions.map((partition) => `${topic}-${partition}`))
  let owned = []
  const change = (next) => {
    if (owned.length > 0) tell('revoked', { partitions: owned })
    owned = next
    if (owned.length > 0) tell('assigned', { partitions: owned })
  }
  consumer.on(consumer.events.REBALANCING, () => change([]))
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => change(names(payload.memberAssignment)))
}

export async function member(bootstrap, settings) {
  const options = Object.fromEntries(settings.map((setting) => setting.split(/=(.*)/s).slice(0, 2)))
  // It gives up when a broker is away for longer than its retries, so that it gets many.
  const kafka = new Kafka({
    brokers: [bootstrap], logLevel: logLevel.NOTHING, retry: { retries: 100, initialRetryTime: 100, maxRetryTime: 500 },
  })
  const consumer = kafka.consumer({
    groupId: options.group,
    sessionTimeout: Number(options.session),
    heartbeatInterval: HEARTBEAT_MS,
    metadataMaxAge: 1000,
    maxWaitTimeInMs: 100,
    partitionAssigners: [PartitionAssigners[options.assignor === 'roundrobin' ? 'roundRobin' : options.assignor]],
  })
  watchAssignment(consumer)
  await consumer.connect()
  await consumer.subscribe({ topics: options.topics.split(','), fromBeginning: options.reset === 'earliest' })
  await consumer.run({
    autoCommit: options.commit === 'auto',
    autoCommitInterval: 200,
    eachBatch: async ({ batch, resolveOffset, commitOffsetsIfNecessary }) => {
      const partition = `${batch.topic}-${batch.partition}`
      tell('records', { partition, records: batch.messages.map(({ offset, value }) => [Number(offset), value.toString()]) })
      const next = String(Number(batch.lastOffset()) + 1)
      resolveOffset(batch.lastOffset())
      if (options.commit === 'auto') return commitOffsetsIfNecessary()
      await consumer.commitOffsets([{ topic: batch.topic, partition: batch.partition, offset: next }])
      tell('committed', { offsets: { [partition]: Number(next) } })
    },
  })
  for await (const line of createInterface({ input: process.stdin })) if (line === 'close') break
  await consumer.disconnect()
  tell('closed')
}
