// Runs cases and reports them: a line each, then the totals.

import { isDeepStrictEqual } from 'node:util'

const METADATA_PATIENCE_MS = 5000

export class Report {
  constructor(suite, only) {
    Object.assign(this, { suite, only, passed: 0, failed: 0 })
  }

  async run(name, body) {
    if (!name.includes(this.only)) return
    const start = Date.now()
    try {
      await body()
    } catch (error) {
      this.failed++
      console.log(`${this.suite}: FAIL ${name}: ${error.name}: ${error.message}`)
      return
    }
    this.passed++
    console.log(`${this.suite}: ok ${name} (${Date.now() - start} ms)`)
  }

  // Prints the totals; the exit status of the suite.
  finish() {
    console.log(`${this.suite}: ${this.passed} passed, ${this.failed} failed`)
    return this.failed === 0 && this.passed > 0 ? 0 : 1
  }
}

export function equal(actual, expected, what) {
  if (isDeepStrictEqual(actual, expected)) return
  throw new Error(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`)
}

// Repeats `read` until it returns the expected: what a controller has decided reaches the metadata a moment later.
export async function eventually(read, expected, what) {
  for (const deadline = Date.now() + METADATA_PATIENCE_MS; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
    try {
      return equal(await read(), expected, what)
    } catch (error) {
      if (Date.now() > deadline) throw error
    }
  }
}

// Asserts that the action fails with Kafka's error code of this name, however deep kafkajs has wrapped it.
export async function refused(code, action) {
  try {
    await action()
  } catch (error) {
    const found = codes(error)
    if (found.includes(code)) return
    throw new Error(`expected ${code}, got ${found} ${error.message}`)
  }
  throw new Error(`expected ${code}, but it succeeded`)
}

function codes(error) {
  const inner = [error.cause, ...(error.errors ?? [])].filter((each) => each instanceof Error)
  return [error.type, ...inner.flatMap(codes)].filter(Boolean)
}
