// The generated records of README.md: every suite writes and expects exactly these.

export const COUNT = 240
export const PARTITIONS = 3
export const COUNT_PER_PARTITION = COUNT / PARTITIONS
export const MIDDLE_OFFSET = 41
export const FIRST_TIMESTAMP = 1_700_000_000_000
export const TOPIC_CONFIGS = { 'max.message.bytes': '4194304', 'retention.ms': '-1' }

export const FILE_LINES = 50_000
export const FILE_TOPIC_CONFIGS = { 'segment.bytes': '1048576', 'retention.ms': '-1' }

// The partition of key "k0", "k1", ... among six, by Kafka's default partitioner (murmur2).
export const KEYED_PARTITIONS = 6
export const KEY_PARTITIONS = '553440142240321051124453005124'

// Marsaglia's 32-bit xorshift (13, 17, 5); the state must not be zero.
class Xorshift {
  constructor(state) {
    this.state = state
  }

  next() {
    this.state ^= this.state << 13
    this.state ^= this.state >>> 17
    this.state ^= this.state << 5
    return this.state >>> 0
  }

  bytes(length) {
    const data = Buffer.alloc(Math.ceil(length / 4) * 4)
    for (let at = 0; at < length; at += 4) data.writeUInt32LE(this.next(), at)
    return data.subarray(0, length)
  }
}

function keyOf(index, random) {
  const number = random.next() % 50
  if (index % 7 === 0) return null
  return Buffer.from(index % 7 === 1 ? '' : `key-${number}`)
}

function valueOf(index, key, random, tame) {
  let length = (random.next() % 1500) + 1
  if (index >= 100 && index <= 120) length = 2 ** (index - 100)
  else if (index % 11 === 0 && (key !== null || !tame)) return null
  else if (index % 11 < 2) return Buffer.alloc(0)
  return index % 2 === 0 ? random.bytes(length) : Buffer.alloc(length, random.bytes(64))
}

// Headers as [name, value]; kafkajs takes an object, in which the values of a repeated name form a list.
function headersOf(index, random, tame) {
  switch (index % 5) {
    case 1:
      return [['h', Buffer.from('v')]]
    case 2:
      return ['a', 'b', 'a'].map((value) => ['dup', Buffer.from(value)])
    case 3:
      return [['empty', Buffer.alloc(0)], ['null', tame ? Buffer.alloc(0) : null]]
    case 4:
      return [['bytes', random.bytes(16)], ['größe', Buffer.from('ß')]]
    default:
      return []
  }
}

function timestampOf(index) {
  if (index % 10 === 3) return FIRST_TIMESTAMP + 40 * index - 450
  if (index % 10 === 5) return FIRST_TIMESTAMP + 40 * (index - 3)
  return FIRST_TIMESTAMP + 40 * index
}

// The records of a seed, in the order they are to be sent. Odd seeds are tame: no client refuses to send them.
export function generate(seed) {
  const tame = seed % 2 === 1
  return Array.from({ length: COUNT }, (_, index) => {
    const random = new Xorshift((Math.imul(seed, 0x9e3779b1) + Math.imul(index, 0x85ebca6b)) | 1)
    const key = keyOf(index, random)
    const value = valueOf(index, key, random, tame)
    return {
      partition: index % PARTITIONS,
      offset: Math.floor(index / PARTITIONS),
      timestamp: timestampOf(index),
      key,
      value,
      headers: headersOf(index, random, tame),
    }
  })
}

export function fileLines() {
  const random = new Xorshift(1)
  const word = () => random.next().toString(16).padStart(8, '0')
  return Array.from({ length: FILE_LINES }, (_, number) =>
    `${String(number).padStart(8, '0')} line of a real file ${word()} ${word()} ${word()} ${word()}`)
}
