"""Spring Kafka: listeners that acknowledge by hand, one by one and in batches, killed and started again."""

from application import Application, create, lag, read_all, wait_until
from records import Record
from report import equal

PARTITIONS = 3
WAVE = 150
MAIN = "frameworks.Listener"


def listeners(bootstrap, directory, name):
    source, output, dead = f"{name}-input", f"{name}-output", f"{name}-input-dlt"
    client = create(bootstrap, (source, PARTITIONS), (output, 1), (dead, PARTITIONS))
    properties = (("bootstrap", bootstrap), ("group", name), ("input", source), ("output", output))
    applications = []

    def start():
        application = Application(directory, f"{name}-{len(applications)}", MAIN, properties=properties)
        applications.append(application)
        return application

    def answers():
        return sorted(value.decode() for _, _, value in read_all(bootstrap, output, 1))

    def produce(first, extra=()):
        values = [f"value {number}" for number in range(first, first + WAVE)]
        values.extend(extra)
        records = [Record(value.encode(), key=b"k", partition=at % PARTITIONS) for at, value in enumerate(values)]
        client.produce(source, records)
        return [f"VALUE {number}" for number in range(first + WAVE)]

    def batched(application, count):
        wait_until(
            lambda: len(set(line for line in application.text.splitlines() if line.startswith("batch "))) >= count,
            f"{count} records came in batches",
            [application],
        )

    def committed(application):
        for group in (name, f"{name}-batches"):
            wait_until(
                lambda group=group: lag(bootstrap, client, group, source, PARTITIONS) == 0,
                f"everything is committed for {group}",
                [application],
            )

    try:
        expected = produce(0, extra=["poison"])
        application = start()
        wait_until(lambda: len(answers()) >= WAVE, lambda: f"{len(answers())} of {WAVE} answers", [application])
        equal(answers(), sorted(expected), "answers")
        wait_until(lambda: len(read_all(bootstrap, dead, PARTITIONS)) >= 1, "the dead letter is written", [application])
        batched(application, WAVE + 1)
        committed(application)
        application.kill()
        expected = produce(WAVE)
        again = start()
        wait_until(lambda: set(answers()) >= set(expected), lambda: f"{len(answers())} answers", [again])
        equal(answers(), sorted(expected), "answers, none twice: each was acknowledged before the kill")
        equal([value for _, _, value in read_all(bootstrap, dead, PARTITIONS)], [b"poison"], "dead letters")
        committed(again)
        again.close()
    finally:
        for application in applications:
            application.kill()
        client.close()
