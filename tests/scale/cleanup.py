#!/usr/bin/env python3
"""What garbage collection costs a registry that fill.py filled, and what pushes lose meanwhile.

    cleanup.py PROGRAM DATA_FOLDER USER:PASSWORD [POSTGRES_URL]

Starts the server itself, with short leases and without passes of its own. First a pass with nothing to do, then one with little to
do (20 manifests deleted); then scale/large is deleted (by its rows, as the server does it) and pushes are measured in turns: with
the pass held up and with the pass at work, in windows of a few seconds each. Prints what to compare.
"""
import base64
import hashlib
import http.client
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time

program, folder, user = sys.argv[1:4]
url = sys.argv[4] if len(sys.argv) > 4 else None
PORT, WINDOW, TURNS, CLIENTS = 5791, 3, 9, 4
HEADERS = {"Authorization": "Basic " + base64.b64encode(user.encode()).decode()}
TYPE = "application/vnd.oci.image.manifest.v1+json"
environment = dict(os.environ, LAZULI_GC_ENABLED="false", LAZULI_LEASES_DURATION="20s", LAZULI_LOG_ACCESS="false",
                   LAZULI_ADMIN_PASSWORD=user.split(":")[1], **({"LAZULI_DATABASE_URL": url} if url else {}))


def command(*arguments):
    done = subprocess.run([program, *arguments, "--data-dir", folder], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def cpu(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def sql(text):
    if url:
        done = subprocess.run(["psql", "-qXAt", url, "-c", text], capture_output=True, text=True, check=True)
        return done.stdout.split("\n")[0]
    db = sqlite3.connect(f"{folder}/lazuli.db", timeout=60, isolation_level=None)
    cells = [str(cell) for row in db.execute(text).fetchall()[:1] for cell in row]
    return cells[0] if cells else ""


def rows_read():
    """PostgreSQL counts what it reads: by scans of whole tables, and by indexes."""
    if not url:
        return None
    time.sleep(1.5)
    sql("SELECT pg_stat_force_next_flush()")
    both = sql("SELECT SUM(seq_tup_read) || ' ' || SUM(COALESCE(idx_tup_fetch, 0)) FROM pg_stat_user_tables WHERE relname IN "
               "('blobs', 'repository_blobs', 'manifests', 'manifest_references', 'manifest_dots', 'tags', 'tag_versions')")
    return [int(word) for word in both.split()]


def call(connection, method, path, body=None, headers=None):
    connection.request(method, path, body, {**HEADERS, **(headers or {})})
    answer = connection.getresponse()
    answer.read()
    return answer


def push(connection, name, seed):
    """A new image: one configuration in one request, then its manifest with a tag."""
    config = json.dumps({"n": seed}).encode()
    digest = "sha256:" + hashlib.sha256(config).hexdigest()
    answer = call(connection, "POST", f"/v2/{name}/blobs/uploads/?digest={digest}", config)
    assert answer.status == 201, answer.status
    body = json.dumps({"schemaVersion": 2, "mediaType": TYPE, "layers": [], "config": {
        "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": len(config)}}).encode()
    answer = call(connection, "PUT", f"/v2/{name}/manifests/{seed}", body, {"Content-Type": TYPE})
    assert answer.status == 201, answer.status


def pushes(seconds, label):
    times, end = [], time.time() + seconds

    def client(number):
        connection = http.client.HTTPConnection("127.0.0.1", PORT)
        mine, turn = [], 0
        while time.time() < end:
            began = time.perf_counter()
            push(connection, f"load/c{number}", f"{label}-{turn}")
            mine.append((time.perf_counter() - began) * 1000)
            turn += 1
        times.extend(mine)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times.sort()
    return len(times) / seconds, times[int(len(times) * 0.5)], times[int(len(times) * 0.99)]


def delete_some(count):
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    for number in random.sample(range(1000), count):
        target = "/v2/scale/r00000/manifests/"
        digest = call(connection, "HEAD", f"{target}t{number:07d}", headers={"Accept": TYPE}).getheader("Docker-Content-Digest")
        assert call(connection, "DELETE", target + digest).status == 202
    connection.close()


def delete_large(now):
    began = time.time()
    sql(f"UPDATE repositories SET deleted_at = {now}, listed = 0 WHERE id = 2000000000")
    sql("INSERT INTO repositories (id, registry_id, name, holder, listed, floor, created_at) "
        f"SELECT 3000000000, 1, name, holder, 0, {(now // 1000) << 16}, {now} FROM repositories WHERE id = 2000000000")
    print(f"large repository deleted: {(time.time() - began) * 1000:.0f} ms", flush=True)


def left():
    return int(sql("SELECT COUNT(*) FROM manifests WHERE repository_id = 2000000000"))


def measured_pass(server, what):
    read, spent, began = rows_read(), cpu(server.pid), time.time()
    out = command("gc", "run", "--watch")
    took = [line for line in out.splitlines() if line.startswith("done")][0].split(": ", 1)[1]
    read_after = rows_read()
    reads = f"; rows read: {read_after[0] - read[0]} by scans, {read_after[1] - read[1]} by index" if read else ""
    print(f"{what}: {took}; server CPU {cpu(server.pid) - spent:.2f} s in {time.time() - began:.1f} s{reads}", flush=True)


server = subprocess.Popen([program, "--data-dir", folder, "--http", f"127.0.0.1:{PORT}", "--https", "off", "--log-level", "error"],
                          env=environment, stdout=subprocess.PIPE)
try:
    server.stdout.readline()
    time.sleep(1)
    # In a second run it is deleted already, and any pass goes on with it.
    if sql("SELECT id FROM repositories WHERE id = 2000000000 AND deleted_at IS NULL"):
        measured_pass(server, "nothing to do")
        delete_some(20)
        measured_pass(server, "20 manifests deleted")
        delete_large(int(time.time() * 1_000_000))
    sides = {"without": [], "with": []}
    spent, there = {"without": 0.0, "with": 0.0}, left()
    pushes(2, "warm")
    for turn in range(TURNS):
        for side in ("without", "with"):
            if side == "with":
                # Each pass ends by itself or goes on in the next turn: it is asked for again, and taken up where it is.
                sql("UPDATE leases SET expires_at = 0 WHERE name = 'gc' AND holder = 'held up'")
                command("gc", "run")
                time.sleep(6)
            before = cpu(server.pid)
            sides[side].append(pushes(WINDOW, f"{side}{turn}"))
            spent[side] += cpu(server.pid) - before
            if side == "with":
                # Whoever loses the lease stops: the pass is cut short here.
                until = int((time.time() + 600) * 1_000_000)
                sql(f"UPDATE leases SET fence = fence + 1, holder = 'held up', expires_at = {until} WHERE name = 'gc'")
                time.sleep(1)
    for side, windows in sides.items():
        rate, middle, worst = (sorted(column)[len(windows) // 2] for column in zip(*windows))
        done = sum(window[0] * WINDOW for window in windows)
        print(f"{side:8} a pass: {rate:.0f} images/s, p50 {middle:.1f} ms, p99 {worst:.1f} ms, "
              f"server CPU {spent[side] / done * 1000:.2f} ms an image, {done:.0f} images in all", flush=True)
    print(f"manifests of the large one removed meanwhile: {there - left()}", flush=True)
finally:
    server.send_signal(signal.SIGTERM)
    server.wait()
