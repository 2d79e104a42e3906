"""Kills the broker and starts it again, if `run` has started it."""

import os
import socket

KILLED_SECONDS = 1


def can_kill_broker():
    return "CLIENTS_BROKER_CONTROL" in os.environ


def kill_broker():
    """SIGKILL; returns when the broker has started again."""
    host, port = os.environ["CLIENTS_BROKER_CONTROL"].split(":")
    with socket.create_connection((host, int(port))) as control:
        control.sendall(b"%d\n" % KILLED_SECONDS)
        answer = control.makefile().read()
        assert answer == "started\n", f"the broker did not start again: {answer!r}"
