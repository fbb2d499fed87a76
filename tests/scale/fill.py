#!/usr/bin/env python3
"""Fills the database of a stopped lazuli with many manifests, each with a tag of its own.

    fill.py DATA_FOLDER MANIFESTS [REPOSITORIES]

The data folder must have been made by a first start. Writes straight into SQLite, because pushing ten million manifests
takes hours; look-ups afterwards go through the server. Then: lookups.py.
"""
import hashlib
import sqlite3
import sys
import time

folder, manifests = sys.argv[1], int(sys.argv[2])
repositories = int(sys.argv[3]) if len(sys.argv) > 3 else max(1, min(1000, manifests // 1000))
each = manifests // repositories
now = int(time.time() * 1_000_000)
hlc = (now // 1000) << 16
TYPE = "application/vnd.oci.image.index.v1+json"

db = sqlite3.connect(f"{folder}/lazuli.db", isolation_level=None)
db.execute("PRAGMA synchronous = OFF")
db.execute("PRAGMA cache_size = -400000")
started = time.time()
for r in range(repositories):
    repository = 1_000_000_000 + r
    rows = []
    for i in range(each):
        body = f'{{"schemaVersion":2,"mediaType":"{TYPE}","manifests":[],"annotations":{{"n":"{r}-{i}"}}}}'.encode()
        rows.append((b"\x01" + hashlib.sha256(body).digest(), body, f"t{i:07d}"))
    db.execute("BEGIN")
    db.execute("INSERT INTO repositories VALUES (?, 1, ?, 1, ?)", (repository, f"scale/r{r:05d}", now))
    db.executemany(
        "INSERT INTO manifests (repository_id, digest, media_type, size, image_size, body, created_at, updated_at) "
        "VALUES (?, ?, ?, ?, 0, ?, ?, ?)",
        ((repository, d, TYPE, len(b), b, now, now) for d, b, _ in sorted(rows)))
    db.executemany("INSERT INTO tags VALUES (?, ?, ?, ?, 1, ?, ?)", ((repository, t, d, hlc, now, now) for d, _, t in rows))
    db.execute("COMMIT")
    if r % max(1, repositories // 10) == 0:
        print(f"{(r + 1) * each} manifests, {time.time() - started:.0f} s", flush=True)
db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
print(f"done: {repositories} repositories of {each} manifests, {time.time() - started:.0f} s")
