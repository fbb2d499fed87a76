#!/usr/bin/env python3
"""Looks up random tags of a registry that fill.py filled, each once, so that memory cannot answer.

    lookups.py HOST:PORT USER:PASSWORD MANIFESTS REPOSITORIES [LOOK-UPS [SEED]]

Prints the median and the 99th percentile of the time to the whole answer, in microseconds.
"""
import base64
import random
import socket
import sys
import time

host, port = sys.argv[1].split(":")
user = base64.b64encode(sys.argv[2].encode()).decode()
manifests, repositories = int(sys.argv[3]), int(sys.argv[4])
count = int(sys.argv[5]) if len(sys.argv) > 5 else 5000
each = manifests // repositories
s = socket.create_connection((host, int(port)))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
random.seed(int(sys.argv[6]) if len(sys.argv) > 6 else 7)
picks = random.sample(range(repositories * each), min(count, repositories * each))
times = []
for pick in picks:
    r, i = divmod(pick, each)
    request = (f"GET /v2/scale/r{r:05d}/manifests/t{i:07d} HTTP/1.1\r\nHost: {host}:{port}\r\n"
               f"Authorization: Basic {user}\r\n\r\n").encode()
    t = time.perf_counter_ns()
    s.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        data += s.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length"))
    while len(body) < length:
        body += s.recv(65536)
    times.append((time.perf_counter_ns() - t) / 1000)
    assert head.startswith(b"HTTP/1.1 200") and f'"{r}-{i}"'.encode() in body, (head, body)
times.sort()
print(f"look-ups={len(times)} p50={times[len(times) // 2]:.0f} p99={times[int(len(times) * 0.99)]:.0f} max={times[-1]:.0f}")
