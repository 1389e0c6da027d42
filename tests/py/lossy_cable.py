"""A cable between two network namespaces that delays, drops and narrows, for kernels without netem.

    lossy_cable.py LEFT RIGHT DELAY_MS LOSS_PERCENT RATE_MBIT

LEFT and RIGHT are names of namespaces; each gets a device `far`, which is up when the line `ready` is printed.
DELAY_MS is that of one direction. What waits is bounded to 100 ms of RATE_MBIT, as in a router. Ends with its stdin.
"""

import collections
import fcntl
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN_WITHOUT_HEAD = 0x1001
MTU = 1500
QUEUE_S = 0.1


class Direction:
    """Packets from one device to the other."""

    def __init__(self, source, target, delay_s, loss, bytes_per_s):
        self.source, self.target = source, target
        self.delay_s, self.loss, self.bytes_per_s = delay_s, loss, bytes_per_s
        self.free_at = 0.0
        self.waiting = collections.deque()

    def take(self, now):
        for _ in range(64):
            try:
                packet = os.read(self.source, MTU + 100)
            except BlockingIOError:
                return
            begins = max(now, self.free_at)
            if random.random() < self.loss or begins - now > QUEUE_S:
                continue
            self.free_at = begins + len(packet) / self.bytes_per_s
            self.waiting.append((self.free_at + self.delay_s, packet))

    def give(self, now):
        waiting = self.waiting
        while waiting and waiting[0][0] <= now:
            try:
                os.write(self.target, waiting.popleft()[1])
            except OSError:
                pass

    def next_at(self):
        return self.waiting[0][0] if self.waiting else None


def device(name, namespace):
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN_WITHOUT_HEAD))
    run("ip", "link", "set", name, "netns", namespace)
    run("ip", "-n", namespace, "link", "set", name, "name", "far")
    run("ip", "-n", namespace, "link", "set", "far", "mtu", str(MTU), "txqueuelen", "1000", "up")
    return file


def run(*args):
    subprocess.run(args, check=True)


def main():
    left, right = sys.argv[1:3]
    delay_ms, loss_percent, rate_mbit = map(float, sys.argv[3:6])
    ends = [device(f"far{os.getpid()}{side}", at) for side, at in (("l", left), ("r", right))]
    how = (delay_ms / 1e3, loss_percent / 100, rate_mbit * 1e6 / 8)
    directions = [Direction(ends[0], ends[1], *how), Direction(ends[1], ends[0], *how)]
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        for direction in directions:
            direction.give(now)
        nexts = [at for at in (direction.next_at() for direction in directions) if at is not None]
        timeout = max(0.0, min(nexts) - now) if nexts else None
        readable, _, _ = select.select(ends + [sys.stdin], [], [], timeout)
        if sys.stdin in readable and not sys.stdin.buffer.read1(1):
            return
        now = time.monotonic()
        for direction in directions:
            if direction.source in readable:
                direction.take(now)


main()
