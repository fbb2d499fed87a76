"""Small images pushed one after the other through nginx while nodes die, and a ledger of those that were acknowledged."""

import base64
import hashlib
import http.client
import json
import os
import random
import threading
import urllib.error
import urllib.parse
import urllib.request

REPOSITORY = "ledger/pushes"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
BROKEN = (OSError, urllib.error.URLError, http.client.HTTPException)


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Pushes(threading.Thread):
    """Nothing is sent twice: a push of which one answer does not come, or is no 201, is not in the ledger."""

    def __init__(self, address, password):
        super().__init__(daemon=True)
        self.url = f"http://{address}/v2/{REPOSITORY}"
        self.basic = "Basic " + base64.b64encode(f"lazuli:{password}".encode()).decode()
        # The digest of each tag's manifest, and the digests of its blobs.
        self.ledger, self.refused, self.stopped = {}, [], threading.Event()

    def ask(self, method, url, body=None, kind="application/octet-stream"):
        request = urllib.request.Request(url, data=body, method=method)
        request.add_header("Authorization", self.basic)
        request.add_header("Content-Type" if body is not None else "Accept", kind)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()

    def blob(self, content):
        begin = f"{self.url}/blobs/uploads/"
        location = urllib.parse.urljoin(begin, self.ask("POST", begin, b"")[1]["Location"])
        name = digest(content)
        sign = "&" if "?" in location else "?"
        self.ask("PUT", f"{location}{sign}digest={name}", content)
        return name

    def push(self, tag):
        # Those of less than 100 kB may be sent again by nginx, larger ones may not.
        layer, config = os.urandom(random.randint(1000, 300_000)), json.dumps({"tag": tag}).encode()
        names = {kind: self.blob(content) for kind, content in [(CONFIG, config), (LAYER, layer)]}
        parts = [
            {"mediaType": kind, "digest": names[kind], "size": len(content)}
            for kind, content in [(CONFIG, config), (LAYER, layer)]
        ]
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": parts[0], "layers": parts[1:]})
        status = self.ask("PUT", f"{self.url}/manifests/{tag}", manifest.encode(), MANIFEST)[0]
        if status == 201:
            self.ledger[tag] = (digest(manifest.encode()), list(names.values()))

    def run(self):
        number = 0
        while not self.stopped.wait(0.1):
            number += 1
            try:
                self.push(f"v{number}")
            except BROKEN as error:
                self.refused.append(str(error))

    def stop(self):
        self.stopped.set()
        self.join()

    def missing(self):
        """What was acknowledged and cannot be pulled, byte for byte."""
        return [f"{tag}: {problem}" for tag in self.ledger if (problem := self.pull(tag))]

    def pull(self, tag):
        manifest, blobs = self.ledger[tag]
        try:
            if digest(self.ask("GET", f"{self.url}/manifests/{tag}", kind=MANIFEST)[2]) != manifest:
                return "another manifest"
            wrong = [name for name in blobs if digest(self.ask("GET", f"{self.url}/blobs/{name}")[2]) != name]
            return f"other bytes: {wrong}" if wrong else None
        except BROKEN as error:
            return str(error)
