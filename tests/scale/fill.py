#!/usr/bin/env python3
"""Fills the database of a lazuli with many manifests, each with a tag and a configuration of its own.

    fill.py DATA_FOLDER|POSTGRES_URL MANIFESTS [REPOSITORIES [MANIFESTS_OF_THE_LARGE_ONE]]

The database must have been made by a first start; a server on SQLite must be stopped. Writes straight into the database, because
pushing ten million manifests takes hours; look-ups afterwards go through the server. The large repository is scale/large.
Then: lookups.py, cleanup.py.
"""
import hashlib
import io
import sqlite3
import subprocess
import sys
import time

target, manifests = sys.argv[1], int(sys.argv[2])
repositories = int(sys.argv[3]) if len(sys.argv) > 3 else max(1, min(1000, manifests // 1000))
large = int(sys.argv[4]) if len(sys.argv) > 4 else 0
now = int(time.time() * 1_000_000)
hlc = (now // 1000) << 16
TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
# What a server wrote a day ago: nothing of it is due.
COLUMNS = {
    "repositories": "id, registry_id, name, holder, listed, floor, created_at",
    "manifests": "repository_id, digest, media_type, size, image_size, body, created_at, updated_at",
    "manifest_dots": "repository_id, digest, origin, operation_id",
    "manifest_references": "repository_id, manifest, child, kind",
    "tags": "repository_id, name, digest, hlc, origin, created_at, updated_at",
    "tag_versions": "repository_id, name, hlc, origin, digest",
    "blobs": "registry_id, digest, size, content, created_at, leased_until",
    "repository_blobs": "repository_id, digest, registry_id, size, linked_at, leased_until",
}


class Sqlite:
    def __init__(self, folder):
        self.db = sqlite3.connect(f"{folder}/lazuli.db", isolation_level=None)
        self.db.execute("PRAGMA synchronous = OFF")
        self.db.execute("PRAGMA cache_size = -400000")
        self.db.execute("BEGIN")

    def write(self, table, rows):
        marks = ", ".join("?" * len(rows[0]))
        self.db.executemany(f"INSERT INTO {table} ({COLUMNS[table]}) VALUES ({marks})", rows)

    def done(self):
        self.db.execute("COMMIT")
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class Postgres:
    def __init__(self, url):
        self.psql = subprocess.Popen(["psql", "-qX", "-v", "ON_ERROR_STOP=1", url], stdin=subprocess.PIPE)
        self.out = io.BufferedWriter(self.psql.stdin, 1 << 20)

    def write(self, table, rows):
        self.out.write(f"COPY {table} ({COLUMNS[table]}) FROM stdin;\n".encode())
        for row in rows:
            cells = ("\\\\x" + cell.hex() if isinstance(cell, bytes) else str(cell) for cell in row)
            self.out.write(("\t".join(cells) + "\n").encode())
        self.out.write(b"\\.\n")

    def done(self):
        self.out.write(b"ANALYZE;\n")
        self.out.close()
        if self.psql.wait():
            sys.exit("psql failed")


def fill(out, repository, name, count, seed):
    made = {table: [] for table in COLUMNS}
    made["repositories"].append((repository, 1, name, repository, 1, 0, now))
    for i in range(count):
        config = f'{{"n":"{seed}-{i}"}}'.encode()
        child = hashlib.sha256(config)
        body = (f'{{"schemaVersion":2,"mediaType":"{TYPE}","config":{{"mediaType":"{CONFIG}","digest":"sha256:{child.hexdigest()}",'
                f'"size":{len(config)}}},"layers":[],"annotations":{{"n":"{seed}-{i}"}}}}').encode()
        digest, child, tag = b"\x01" + hashlib.sha256(body).digest(), b"\x01" + child.digest(), f"t{i:07d}"
        made["manifests"].append((repository, digest, TYPE, len(body), len(body) + len(config), body, now, now))
        made["manifest_dots"].append((repository, digest, 1, hlc.to_bytes(8, "big") + bytes(8)))
        made["manifest_references"].append((repository, digest, child, 0))
        made["tags"].append((repository, tag, digest, hlc, 1, now, now))
        made["tag_versions"].append((repository, tag, hlc, 1, digest))
        made["blobs"].append((1, child, len(config), config, now, now))
        made["repository_blobs"].append((repository, child, 1, len(config), now, now))
    for table, rows in made.items():
        out.write(table, sorted(rows))


out = Postgres(target) if target.startswith("postgres") else Sqlite(target)
each, started = manifests // repositories, time.time()
for r in range(repositories):
    fill(out, 1_000_000_000 + r, f"scale/r{r:05d}", each, r)
    if r % max(1, repositories // 10) == 0:
        print(f"{(r + 1) * each} manifests, {time.time() - started:.0f} s", flush=True)
if large:
    fill(out, 2_000_000_000, "scale/large", large, "large")
out.done()
print(f"done: {repositories} repositories of {each} manifests, {large} in the large one, {time.time() - started:.0f} s")
