// Reads back what kafkajs wrote: its own consumer needs a group.

import { spawnSync } from 'node:child_process'

const OUTPUT_BYTES_MAX = 64 * 1024 * 1024
const TIMEOUT_MS = 60_000
// Every field of a record; lengths tell null (-1) from empty.
const FORMAT = '%p %o %T %K %S [%h] %k %s\\n'

// The output from an offset of a partition to its end.
export function consume(bootstrap, topic, partition, offset, format) {
  const place = ['-C', '-q', '-e', '-b', bootstrap, '-t', topic, '-p', partition, '-o', offset, '-f', format]
  const limits = ['-X', 'fetch.wait.max.ms=50', '-X', 'topic.auto.offset.reset=error']
  const done = spawnSync('kcat', [...place, ...limits], { maxBuffer: OUTPUT_BYTES_MAX, timeout: TIMEOUT_MS })
  if (done.status !== 0) throw new Error(`kcat failed: ${done.stderr ?? done.error}`)
  return done.stdout
}

function lengthOfCString(data) {
  const end = data.indexOf(0)
  return end < 0 ? data.length : end
}

function printed(record) {
  const length = (data) => (data === null ? -1 : data.length)
  // kcat prints header values as C strings.
  const text = (value) => (value === null ? Buffer.from('NULL') : value.subarray(0, lengthOfCString(value)))
  const { partition, offset, timestamp, key, value, headers } = record
  const named = headers.flatMap(([name, content], at) => [Buffer.from(`${at > 0 ? ',' : ''}${name}=`), text(content)])
  const numbers = Buffer.from(`${partition} ${offset} ${timestamp} ${length(key)} ${length(value)} [`)
  const [empty, space, newline] = ['', ' ', '\n'].map((literal) => Buffer.from(literal))
  return Buffer.concat([numbers, ...named, Buffer.from('] '), key ?? empty, space, value ?? empty, newline])
}

// Compares a partition, from an offset on, with the records it has to hold.
export function compare(bootstrap, topic, partition, offset, expected) {
  const output = consume(bootstrap, topic, partition, offset, FORMAT)
  let at = 0
  for (const record of expected) {
    const wanted = printed(record)
    const got = output.subarray(at, at + wanted.length)
    if (!got.equals(wanted)) {
      throw new Error(`expected ${wanted.subarray(0, 200)} (${wanted.length} bytes), printed ${got.subarray(0, 200)}`)
    }
    at += wanted.length
  }
  if (at !== output.length) throw new Error(`${output.length - at} bytes more than ${expected.length} records`)
}
