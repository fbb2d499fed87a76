#!/usr/bin/env python3
"""What one client address can do to the others, and what it costs the server.

usage: overload.py SERVER_BINARY [--seconds N]

Starts the server on loopback with a fresh data folder. A polite client (127.0.0.1) pulls a manifest by tag over one
connection, again and again, 1 ms between requests; another address (127.0.0.2) is rude in one way after the other. A line
for each: the polite client's rate of success, p50 and p99 in ms; what the rude one was answered; the server's resident
memory (MiB) above that before. Python's own share of the latencies is in the first line.
"""

import argparse, base64, collections, hashlib, http.client, json, os, socket, subprocess, sys, tempfile, threading, time

PASSWORD = "overload-overload"
BASIC = "Basic " + base64.b64encode(f"lazuli:{PASSWORD}".encode()).decode()
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, binary):
        self.folder = tempfile.TemporaryDirectory(prefix="lazuli-overload-")
        self.port = free_port()
        environment = dict(os.environ, LAZULI_ADMIN_PASSWORD=PASSWORD, LAZULI_LOG_ACCESS="false")
        command = [binary, "--data-dir", self.folder.name + "/data", "--http", f"127.0.0.1:{self.port}",
                   "--https", "off", "--log-level", "error"]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                time.sleep(0.05)

    def memory(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024

    def end(self):
        self.process.terminate()
        self.process.wait(30)
        self.folder.cleanup()


def connect(port, source, timeout=30):
    return http.client.HTTPConnection("127.0.0.1", port, timeout=timeout, source_address=(source, 0))


def ask(connection, method, target, body=None, headers=()):
    connection.request(method, target, body, {"Authorization": BASIC, **dict(headers)})
    answer = connection.getresponse()
    return answer, answer.read()


def seed(port):
    c = connect(port, "127.0.0.1", 120)
    digests = []
    for content in (b"{}", os.urandom(64 << 20)):
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        place = ask(c, "POST", "/v2/calm/app/blobs/uploads/")[0].getheader("location")
        joint = "&" if "?" in place else "?"
        answer, text = ask(c, "PUT", f"{place}{joint}digest={digest}", content)
        assert answer.status == 201, text
        digests.append((digest, len(content)))
    (config, size), (layer, large) = digests
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST,
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": size},
                "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": large}]}
    answer, text = ask(c, "PUT", "/v2/calm/app/manifests/v1", json.dumps(manifest), {"Content-Type": MANIFEST})
    assert answer.status == 201, text
    return layer


class Polite(threading.Thread):
    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.times, self.failed, self.over = port, [], 0, False

    def run(self):
        connection = connect(self.port, "127.0.0.1")
        while not self.over:
            begun = time.perf_counter()
            try:
                answer, _ = ask(connection, "GET", "/v2/calm/app/manifests/v1", headers={"Accept": MANIFEST})
                if answer.status != 200:
                    self.failed += 1
            except (OSError, http.client.HTTPException):
                self.failed += 1
                connection = connect(self.port, "127.0.0.1")
            self.times.append((time.perf_counter() - begun) * 1000)
            time.sleep(0.001)


def rude_requests(port, over, told, headers, method="GET", target="/v2/calm/app/manifests/v1", body=None):
    connection = None
    while not over.is_set():
        try:
            connection = connection or connect(port, "127.0.0.2")
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            answer.read()
            told[answer.status] += 1
        except (OSError, http.client.HTTPException):
            told["cut"] += 1
            connection = None
            time.sleep(0.01)


def raw(port, head, told, keep, read=False):
    """A connection that begins something and does not go on with it."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.bind(("127.0.0.2", 0))
    s.settimeout(5)
    try:
        s.connect(("127.0.0.1", port))
        s.sendall(head)
        if read:
            told[int(s.recv(12).split()[1])] += 1
        else:
            told["open"] += 1
        keep.append(s)
    except (OSError, IndexError, ValueError):
        told["cut"] += 1
        s.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    server = Server(options.binary)
    port = server.port
    try:
        layer = seed(port)
        time.sleep(1)
        auth = f"Authorization: {BASIC}\r\nHost: 127.0.0.1:{port}\r\n"
        wrong = "Basic " + base64.b64encode(b"lazuli:wrong").decode()

        def threads(count, **how):
            def begin(over, told, keep):
                for _ in range(count):
                    threading.Thread(target=rude_requests, args=(port, over, told), kwargs=how, daemon=True).start()
            return begin

        def raws(count, head, read=False):
            def begin(over, told, keep):
                for number in range(count):
                    raw(port, head(number).encode(), told, keep, read)
            return begin

        stalled = lambda n: (f"POST /v2/rude/app/blobs/uploads/?digest=sha256:{n:064x} HTTP/1.1\r\n{auth}"
                             f"Content-Length: {100 << 20}\r\n\r\n" + "x" * 65536)
        cases = [
            ("nothing else", lambda over, told, keep: None),
            ("32 connections pull manifests", threads(32, headers={"Authorization": BASIC})),
            ("32 connections guess passwords", threads(32, headers={"Authorization": wrong})),
            ("32 connections ask for tokens with wrong passwords",
             threads(32, headers={"Authorization": wrong}, target=f"/oauth2/token?service=127.0.0.1:{port}&scope=repository:calm/app:pull")),
            ("2,000 readers of a 64 MiB blob that do not read",
             raws(2000, lambda n: f"GET /v2/calm/app/blobs/{layer} HTTP/1.1\r\n{auth}\r\n", True)),
            ("1,000 uploads that stall after 64 KiB", raws(1000, stalled)),
            ("3,500 connections that say nothing", raws(3500, lambda n: "")),
            ("3,500 connections in the middle of a head", raws(3500, lambda n: f"GET /v2/ HTTP/1.1\r\nX-{n}: ")),
        ]
        print(f"{'the other address':52} {'ok %':>6} {'p50':>7} {'p99':>7} {'MiB':>6}  was answered")
        for name, begin in cases:
            over, told, keep = threading.Event(), collections.Counter(), []
            before = server.memory()
            begin(over, told, keep)
            time.sleep(0.5)
            polite = Polite(port)
            polite.start()
            peak, until = 0, time.time() + options.seconds
            while time.time() < until:
                peak = max(peak, server.memory())
                time.sleep(0.05)
            polite.over = True
            polite.join(40)
            over.set()
            for s in keep:
                s.close()
            times = sorted(polite.times) or [float("nan")]
            p = lambda q: times[min(len(times) - 1, int(len(times) * q))]
            share = 100 * (1 - polite.failed / max(1, len(polite.times)))
            answers = ", ".join(f"{n} × {what}" for what, n in told.most_common())
            print(f"{name:52} {share:6.1f} {p(0.5):7.2f} {p(0.99):7.2f} {peak - before:6.1f}  {answers}", flush=True)
            time.sleep(3)
    finally:
        server.end()


main()
