"""What hostile clients do to the broker of `crossserver broker`."""

import multiprocessing
import socket
import time

from field import PATIENCE, Broker, Probe, Row, Subscriber, nice

MEMORY = 256
"""MiB that its clients may hold together: `EmbeddedBroker.Limits.maximumTotalBytes`."""

ALLOWANCE = 96
"""MB for what is on its way, and what the allocator keeps."""

SIZE = 1 << 20


def dial(port):
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def publish(channel, size):
    return b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(channel), channel, size, b"x" * size)


# What each does until its time is over. The docstrings are its lines in the help.


def listeners(port, end):
    """100 clients subscribe and do not read what is published for each"""
    publisher = dial(port)
    subscribers = {}
    while time.monotonic() < end:
        for number in range(100):
            channel = b"c%d" % number
            if number not in subscribers:
                subscribers[number] = dial(port)
                subscribers[number].sendall(b"SUBSCRIBE %b\r\n" % channel)
            publisher.sendall(publish(channel, SIZE))
            # Nobody has it: the subscriber was closed.
            if publisher.recv(64).startswith(b":0"):
                subscribers.pop(number).close()


def commands(port, end):
    """100 clients send the first 15 MB of a command"""
    part = publish(b"c", 15 * SIZE)[: 15 * SIZE]
    while time.monotonic() < end:
        clients = []
        for _ in range(100):
            clients.append(dial(port))
            try:
                clients[-1].settimeout(1)
                clients[-1].sendall(part)
            except OSError:
                pass  # It was closed, for it holds the most.
            if time.monotonic() > end:
                break
        for client in clients:
            client.close()


ATTACKS = [listeners, commands]


def attack_in_process(attack, port, end):
    nice()
    attack(port, end)


def play(attack, options, log):
    broker = Broker(options.program, log)
    try:
        probe = Probe(broker, Subscriber(broker, "probe"))
        probe.start()
        time.sleep(2)
        quiet = probe.take()
        end = time.monotonic() + options.seconds
        process = multiprocessing.Process(target=attack_in_process, args=(attack, broker.port, end))
        process.start()
        time.sleep(max(0, end - time.monotonic()))
        attacked = probe.take()
        process.join(PATIENCE)
        time.sleep(10)
        probe.stop()
        row = Row(attack.__name__, probe, probe.before + MEMORY * 1.05 + ALLOWANCE, quiet, attacked)
        if process.exitcode:
            row.problems.append("the attack has failed")
        return row
    finally:
        broker.stop()
