// main.js --bootstrap HOST:PORT [--only TEXT]             all cases, or those whose name contains the text
// main.js --bootstrap HOST:PORT write TOPIC:SEED:CODEC...  sends generated records to new topics

import { createHash, randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { init as initZstd, compress as zstdCompress, decompress as zstdDecompress } from '@bokuweb/zstd-wasm'
import kafkajs from 'kafkajs'
import snappy from 'kafkajs-snappy'
import lz4 from 'lz4-napi'
import { compare, consume } from './kcat.js'
import { member } from './member.js'
import * as records from './records.js'
import { Report, equal, eventually, refused } from './report.js'

const { CompressionTypes, CompressionCodecs, ConfigResourceTypes, Kafka, Partitioners, logLevel } = kafkajs
const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}
// kafkajs brings gzip alone; these are its documented extension points.
CompressionCodecs[CompressionTypes.Snappy] = snappy
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: (buffer) => lz4.decompressFrame(buffer),
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from(zstdCompress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(zstdDecompress(buffer)),
})

const SEED = 1 // an odd one: kafkajs cannot send null header values
const RUN = randomBytes(3).toString('hex')
const RECORDS_A_SEND = 40 // so that a partition gets several batches
const LINES_A_SEND = 5000

class Cases {
  constructor(bootstrap) {
    this.bootstrap = bootstrap
    this.kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.NOTHING, retry: { retries: 3, initialRetryTime: 50 } })
    this.admin = this.kafka.admin()
  }

  name(ofCase) {
    return `node-${ofCase}-${RUN}`
  }

  async create(topic, partitions = 1, configs = {}, replicationFactor = 1) {
    const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }))
    return this.admin.createTopics({ topics: [{ topic, numPartitions: partitions, replicationFactor, configEntries }] })
  }

  async topic(ofCase, partitions, configs) {
    const topic = this.name(ofCase)
    await this.create(topic, partitions, configs)
    return topic
  }

  // Sends with a producer of its own; `options` go to the producer, `sending` to each send.
  async send(topic, messages, { sending = {}, step = messages.length, ...options } = {}) {
    const defaults = { createPartitioner: Partitioners.DefaultPartitioner, allowAutoTopicCreation: false }
    const producer = this.kafka.producer({ ...defaults, ...options })
    await producer.connect()
    try {
      const sent = []
      for (let at = 0; at < messages.length; at += step) {
        sent.push(...(await producer.send({ topic, messages: messages.slice(at, at + step), ...sending })))
      }
      return sent
    } finally {
      await producer.disconnect()
    }
  }

  values(topic, partition = 0, offset = 0) {
    return consume(this.bootstrap, topic, partition, offset, '%s\\n').toString().split('\n').slice(0, -1)
  }

  async write(topic, seed, codec) {
    await this.create(topic, records.PARTITIONS, records.TOPIC_CONFIGS)
    const messages = records.generate(seed).map(({ partition, timestamp, key, value, headers }) => ({
      partition, key, value, timestamp: String(timestamp), headers: headersObject(headers),
    }))
    await this.send(topic, messages, { step: RECORDS_A_SEND, sending: { compression: CODECS[codec] } })
  }

  async roundTrip(codec) {
    const topic = this.name(codec)
    await this.write(topic, SEED, codec)
    const expected = records.generate(SEED)
    for (let partition = 0; partition < records.PARTITIONS; partition++) {
      const stored = expected.filter((record) => record.partition === partition)
      for (const offset of [0, records.MIDDLE_OFFSET]) compare(this.bootstrap, topic, partition, offset, stored.slice(offset))
    }
    await this.compareTimes(topic, expected)
  }

  async compareTimes(topic, expected) {
    const times = new Set(expected.flatMap(({ timestamp }) => [timestamp - 1, timestamp, timestamp + 1]))
    for (const time of times) {
      for (const { partition, offset } of await this.admin.fetchTopicOffsetsByTimestamp(topic, time)) {
        const found = expected.find((record) => record.partition === partition && record.timestamp >= time)
        // kafkajs itself answers with the end offset when there is no such record.
        equal(Number(offset), found?.offset ?? records.COUNT_PER_PARTITION, `partition ${partition} at ${time}`)
      }
    }
  }

  async cluster() {
    const { brokers, controller, clusterId } = await this.admin.describeCluster()
    equal(brokers.some(({ nodeId }) => nodeId === controller), true, 'the controller is a broker')
    equal(clusterId.length > 0, true, 'there is a cluster id')
  }

  async partitions(topic) {
    const { topics } = await this.admin.fetchTopicMetadata({ topics: [topic] })
    return topics[0].partitions.length
  }

  async listed(topic) {
    return (await this.admin.listTopics()).includes(topic)
  }

  async topics() {
    const topic = this.name('topics')
    equal(await this.create(topic, 4), true, 'created')
    await eventually(() => this.partitions(topic), 4, 'partitions')
    await eventually(() => this.listed(topic), true, 'listed')
    equal(await this.create(topic, 4), false, 'created again')
    await this.admin.createPartitions({ topicPartitions: [{ topic, count: 6 }] })
    await eventually(() => this.partitions(topic), 6, 'partitions')
    await refused('INVALID_PARTITIONS', () => this.admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] }))
    await this.admin.deleteTopics({ topics: [topic] })
    await eventually(() => this.listed(topic), false, 'listed')
    await refused('UNKNOWN_TOPIC_OR_PARTITION', () => this.partitions(topic))
  }

  async invalidTopics() {
    for (const name of ['a b', 'a/b', '..', 'x'.repeat(250)]) await refused('INVALID_TOPIC_EXCEPTION', () => this.create(name))
    const topic = this.name('invalid')
    await refused('INVALID_REPLICATION_FACTOR', () => this.create(topic, 1, {}, 100))
    await refused('INVALID_PARTITIONS', () => this.create(topic, 0))
    await refused('INVALID_CONFIG', () => this.create(topic, 1, { 'retention.ms': 'soon' }))
    equal(await this.listed(topic), false, 'listed')
  }

  async config(topic, name) {
    const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: [name] }]
    const described = await this.admin.describeConfigs({ resources, includeSynonyms: false })
    return described.resources[0].configEntries[0].configValue
  }

  // kafkajs knows AlterConfigs alone, which replaces all of a topic's own configs.
  async configs() {
    const topic = await this.topic('configs', 1, { 'retention.ms': '123456' })
    await eventually(() => this.config(topic, 'retention.ms'), '123456', 'retention.ms')
    const change = (name, value) =>
      this.admin.alterConfigs({ resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [{ name, value }] }] })
    await change('max.message.bytes', '54321')
    await eventually(() => this.config(topic, 'max.message.bytes'), '54321', 'max.message.bytes')
    await eventually(() => this.config(topic, 'retention.ms'), '604800000', 'retention.ms, which was replaced')
    await refused('INVALID_CONFIG', () => change('cleanup.policy', 'shred'))
  }

  async acks() {
    const topic = await this.topic('acks')
    for (const [at, acks] of [0, 1, -1].entries()) {
      await this.send(topic, [{ partition: 0, value: `acks ${acks}` }], { sending: { acks } })
      await eventually(() => this.values(topic).length, at + 1, `records after acks=${acks}`)
    }
    await this.send(topic, [{ partition: 0, value: 'idempotent' }], { idempotent: true, sending: { acks: -1 } })
    equal(this.values(topic), ['acks 0', 'acks 1', 'acks -1', 'idempotent'], 'values')
  }

  async keys() {
    const topic = await this.topic('keys', records.KEYED_PARTITIONS)
    const count = records.KEY_PARTITIONS.length
    await this.send(topic, Array.from({ length: 3 * count }, (_, at) => ({ key: `k${at % count}`, value: String(at) })))
    for (let partition = 0; partition < records.KEYED_PARTITIONS; partition++) {
      const stored = consume(this.bootstrap, topic, partition, 0, '%k %s\\n').toString().split('\n').slice(0, -1)
      const wanted = Array.from({ length: 3 * count }, (_, at) => at)
        .filter((at) => Number(records.KEY_PARTITIONS[at % count]) === partition)
        .map((at) => `k${at % count} ${at}`)
      equal(stored, wanted, `records of partition ${partition}`)
    }
  }

  async realFile() {
    const topic = await this.topic('file', 1, records.FILE_TOPIC_CONFIGS)
    const lines = records.fileLines()
    await this.send(topic, lines.map((value) => ({ partition: 0, value })), { step: LINES_A_SEND })
    const digest = (text) => createHash('sha256').update(text).digest('hex')
    const received = consume(this.bootstrap, topic, 0, 0, '%s\\n')
    equal(digest(received), digest(`${lines.join('\n')}\n`), 'sha256 of the file')
  }

  async tooLarge() {
    const topic = await this.topic('too-large', 1, { 'max.message.bytes': '20000' })
    await refused('MESSAGE_TOO_LARGE', () => this.send(topic, [{ partition: 0, value: 'x'.repeat(30_000) }]))
    const [sent] = await this.send(topic, [{ partition: 0, value: 'x'.repeat(19_000) }])
    equal(sent.baseOffset, '0', 'offset of the record that fits')
  }

  async unknownTopic() {
    const topic = this.name('missing')
    await refused('UNKNOWN_TOPIC_OR_PARTITION', () => this.send(topic, [{ value: 'lost' }]))
    equal(await this.listed(topic), false, 'listed')
  }

  async offsets() {
    const topic = await this.topic('offsets')
    equal(await this.admin.fetchTopicOffsets(topic), [{ partition: 0, offset: '0', high: '0', low: '0' }], 'offsets of none')
    await this.send(topic, Array.from({ length: 10 }, (_, at) => ({ partition: 0, value: String(at) })))
    equal(await this.admin.fetchTopicOffsets(topic), [{ partition: 0, offset: '10', high: '10', low: '0' }], 'offsets')
    await this.admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '4' }] })
    equal(await this.admin.fetchTopicOffsets(topic), [{ partition: 0, offset: '10', high: '10', low: '4' }], 'offsets left')
    equal(this.values(topic, 0, 4), ['4', '5', '6', '7', '8', '9'], 'values left')
  }

  async runAll(report) {
    for (const codec of Object.keys(CODECS)) await report.run(`round-trip-${codec}`, () => this.roundTrip(codec))
    await report.run('cluster', () => this.cluster())
    await report.run('topics', () => this.topics())
    await report.run('invalid-topics', () => this.invalidTopics())
    await report.run('configs', () => this.configs())
    await report.run('acks', () => this.acks())
    await report.run('keys', () => this.keys())
    await report.run('real-file', () => this.realFile())
    await report.run('too-large', () => this.tooLarge())
    await report.run('unknown-topic', () => this.unknownTopic())
    await report.run('offsets', () => this.offsets())
  }
}

function headersObject(headers) {
  const object = {}
  for (const [name, value] of headers) {
    if (name in object) object[name] = [object[name], value].flat()
    else object[name] = value
  }
  return object
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { bootstrap: { type: 'string' }, only: { type: 'string', default: '' } },
})
if (!options.bootstrap || (positionals.length > 0 && !['write', 'member'].includes(positionals[0]))) {
  console.error('usage: --bootstrap HOST:PORT [--only TEXT] [write TOPIC:SEED:CODEC...|member NAME=VALUE...]')
  process.exit(2)
}
if (positionals[0] === 'member') {
  await member(options.bootstrap, positionals.slice(1))
  process.exit(0)
}
await initZstd()
const report = new Report('node', options.only)
const cases = new Cases(options.bootstrap)
await cases.admin.connect()
if (positionals.length === 0) await cases.runAll(report)
for (const place of positionals.slice(1)) {
  const [topic, seed, codec] = place.split(':')
  await report.run(`write ${topic}`, () => cases.write(topic, Number(seed), codec))
}
await cases.admin.disconnect()
process.exit(report.finish())
