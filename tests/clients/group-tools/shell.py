"""Command line tools in one virtual machine, and what they print without what no two runs have in common."""

import json
import pathlib
import re
import subprocess

CLIENTS = pathlib.Path(__file__).resolve().parents[1]
TOOLS = {
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-groups": "org.apache.kafka.tools.GroupsCommand",
    "remove-members": "clients.RemoveMembers",
}
NORMALISED = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"(?<=\s)(?!gt-)[A-Za-z0-9_-]{22}(?=\s)"), "UUID"),  # members of the consumer protocol
    (re.compile(r"127\.0\.0\.1:\d+ +\(\d+\)"), "COORDINATOR"),
    (re.compile(r"Valid (states|types) are: .*"), r"Valid \1"),  # in the order of hashes
    (re.compile(r"[ \t]+"), " "),  # columns are as wide as their widest value
)


class Tools:
    """Runs tools against one broker."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        command = [CLIENTS / "java" / "suite", "--bootstrap", bootstrap, "tools"]
        self.shell = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, tool, *arguments, prefix):
        """
        Exit status, and the lines about groups and topics whose names begin with the prefix, heading first. The order of
        the rest is the broker's, which promises none.
        """
        words = [TOOLS[tool], "--bootstrap-server", self.bootstrap, *map(str, arguments)]
        self.shell.stdin.write(json.dumps(words) + "\n")
        self.shell.stdin.flush()
        answer = json.loads(self.shell.stdout.readline())
        text = answer["out"] + answer["err"]
        for pattern, replacement in NORMALISED:
            text = pattern.sub(replacement, text)
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("at ")]
        if "--list" in words:  # of other groups, too
            lines = [line for line in lines if prefix in line or line.isupper() or " " in line and not line[0].isalnum()]
        if "--all-groups" in words:
            lines = [line for line in lines if prefix in line or line.startswith("Error: Executing")]
            # Rows of groups that earlier suites left, with a topic of this one.
            others = re.compile(rf"(?!{re.escape(prefix)})\S+ {re.escape(prefix)}")
            lines = [line for line in lines if not others.match(line)]
        return [f"status {answer['status']}", *sorted(lines)]

    def close(self):
        self.shell.stdin.close()
        self.shell.wait(30)
