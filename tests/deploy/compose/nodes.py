"""Starts deploy/compose itself, as docs/how-to/compose.md says, and kills its nodes. Run by `cargo xtask clients --compose`.

    nodes.py --binary PATH --folder PATH --mc PATH [--seed N] [--kill-every SECONDS]

It has a Docker engine of its own in FOLDER, with the programs of PATH, and makes the images that the file takes from elsewhere
(see `images`). Meanwhile it pushes images of its own (see `pushes.py`), and at the end it looks whether they are there: then,
after the services were made anew, after a node's process died, after the database and the store were started again.

What it says and hears is what the program `nodes` of lazuli-testkit does: `ready ADDRESS PASSWORD`; the line `finish` ends it
in order, with a report as JSON; the end of standard input ends it at once.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

from pushes import Pushes

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "../../.."))
NODES = ["node1", "node2", "node3"]
READY_SECONDS = 120


def expect(condition, problem):
    if not condition:
        raise SystemExit(f"error: {problem}")


def free_port():
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        return any_socket.getsockname()[1]


def wait_for(what, ready, seconds=READY_SECONDS):
    deadline = time.monotonic() + seconds
    while not ready():
        expect(time.monotonic() < deadline, f"{what}: not within {seconds} s")
        time.sleep(0.1)


class Engine:
    """dockerd, on folders and a socket of its own. Its containers talk over a bridge; the machine's rules stay as they are."""

    def __init__(self, folder):
        self.environment = dict(os.environ, DOCKER_HOST=f"unix://{folder}/docker.sock")
        configuration = os.path.join(folder, "daemon.json")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write('{"features": {"containerd-snapshotter": true}}')
        flags = {"config-file": configuration, "host": self.environment["DOCKER_HOST"], "bridge": "none"}
        flags |= {"data-root": f"{folder}/data", "exec-root": f"{folder}/exec", "pidfile": f"{folder}/docker.pid"}
        flags |= {"iptables": "false", "ip6tables": "false"}
        with open(os.path.join(folder, "docker.log"), "w", encoding="utf-8") as log:
            command = ["setpriv", "--pdeathsig", "TERM", "--", "dockerd"]
            command += [f"--{name}={value}" for name, value in flags.items()]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        wait_for("dockerd", lambda: self.docker("version", check=False).returncode == 0)

    def run(self, *command, check=True, **more):
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=600, **more)
        expect(not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def docker(self, *arguments, **more):
        return self.run("docker", *arguments, **more)

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


class Compose:
    """The services of the file, in a copy of deploy/ beside the binary."""

    def __init__(self, engine, folder, binary, mc):
        self.engine, self.checkout = engine, os.path.join(folder, "checkout")
        shutil.copytree(os.path.join(ROOT, "deploy"), os.path.join(self.checkout, "deploy"))
        os.makedirs(os.path.join(self.checkout, "target/release"))
        shutil.copy(binary, os.path.join(self.checkout, "target/release/lazuli"))
        self.folder = os.path.join(self.checkout, "deploy/compose")
        engine.run(os.path.join(HERE, "images"), mc)
        self.address = f"127.0.0.1:{free_port()}"
        names = {"NGINX": "nginx", "POSTGRES": "postgres", "S3": "s3", "S3_CLIENT": "mc"}
        engine.environment |= {f"{name}_IMAGE": f"stand-in/{image}" for name, image in names.items()}
        engine.environment |= {"LAZULI_LISTEN": self.address, "LAZULI_PUBLIC_URL": f"http://{self.address}"}
        # What the page says, word for word, up to the start.
        with open(os.path.join(ROOT, "docs/how-to/compose.md"), encoding="utf-8") as file:
            block = re.search(r"```sh\n(.*?docker compose up -d\b.*?)$", file.read(), re.S | re.M).group(1)
        engine.run("bash", "-euc", block, cwd=self.checkout)
        with open(os.path.join(self.folder, ".env"), encoding="utf-8") as file:
            self.password = re.search(r"^LAZULI_ADMIN_PASSWORD=(.+)$", file.read(), re.M).group(1)
        self.await_ready()
        for node in NODES:
            log = self.log(node)
            expect("cannot open the database" not in log, f"{node} was started before its database:\n{log}")
            expect(self.inspect(node)["RestartCount"] == 0, f"{node} was started more than once:\n{log}")

    def __call__(self, *arguments, **more):
        return self.engine.docker("compose", *arguments, cwd=self.folder, **more)

    def inspect(self, service):
        container = self("ps", "--all", "--quiet", service).stdout.strip()
        return json.loads(self.engine.docker("inspect", container).stdout)[0]

    def log(self, service):
        done = self("logs", "--no-log-prefix", "--no-color", service)
        return done.stdout + done.stderr

    def is_ready(self, node):
        command = ["exec", "-T", node, "/usr/bin/lazuli", "healthcheck"]
        return self(*command, check=False).returncode == 0

    def await_ready(self):
        for node in NODES:
            wait_for(node, lambda node=node: self.is_ready(node))


class Killer(threading.Thread):
    """Kills a node, starts it again, and so on; at most one is away at a time."""

    def __init__(self, compose, folder, seed, every):
        super().__init__(daemon=True)
        self.compose, self.every, self.random = compose, every, random.Random(seed)
        self.file = os.path.join(folder, "kills")
        self.kills, self.problem, self.stopped = 0, None, threading.Event()
        open(self.file, "w", encoding="utf-8").close()

    def run(self):
        try:
            while not self.stopped.wait(self.random.uniform(self.every / 2, self.every)):
                self.kill(self.random.choice(NODES))
        except (SystemExit, subprocess.SubprocessError) as problem:
            self.problem = str(problem)

    def kill(self, node):
        # The client needs a moment to do it: commands that broke are judged by when a node was killed.
        self.note(node)
        self.compose("kill", node)
        self.note(node)
        self.kills += 1
        time.sleep(self.random.uniform(0, self.every / 2))
        self.compose("start", node)
        wait_for(node, lambda: self.compose.is_ready(node))

    def note(self, node):
        with open(self.file, "a", encoding="utf-8") as file:
            file.write(f"{time.time_ns() // 1_000_000} {node}\n")

    def stop(self):
        self.stopped.set()
        self.join()
        return self.problem


def crash(compose):
    """The process of a node dies: Docker starts it again, unasked."""
    process = compose.inspect("node3")["State"]["Pid"]
    expect(process > 1, "node3 is not running")
    os.kill(process, signal.SIGKILL)
    wait_for("node3, after its process died", lambda: compose.inspect("node3")["RestartCount"] == 1)


# What everything outlives.
ACTS = {
    "down and up": lambda compose: (compose("down"), compose("up", "--detach")),
    "the death of a process": crash,
    "a restart of the engines": lambda compose: compose("restart", "postgres", "s3"),
}


def finish(compose, folder, killer, pushes):
    """Ends the nodes in order, looks at everything they keep, and lets all containers be made anew."""
    problems = [killer.stop()] if killer else []
    compose.await_ready()
    problems.append(None if pushes.is_alive() else "the pushes ended before their time")
    pushes.stop()
    problems += pushes.missing()
    checked = compose("exec", "-T", "node1", "lazuli", "fsck", "--verify", check=False)
    compose("stop", *NODES)
    report = {"kills": killer.kills if killer else 0, "requests": []}
    report |= {"acknowledged": len(pushes.ledger), "refused": pushes.refused}
    for service in NODES + ["proxy"]:
        text = compose.log(service)
        place = os.path.join(folder, "nginx/error.log" if service == "proxy" else f"{service}/log")
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "w", encoding="utf-8") as file:
            file.write(text)
        if service == "proxy":
            continue
        report["requests"].append(text.count(" access: request "))
        code = compose.inspect(service)["State"]["ExitCode"]
        problems.append(f"{service} ended with {code}" if code else None)
        problems += [f"{service} logged {line}" for line in text.splitlines() if " ERROR " in line][:20]
    report["fsck"] = checked.stdout + checked.stderr
    problems.append(report["fsck"] if checked.returncode else None)
    for what, act in ACTS.items():
        act(compose)
        compose.await_ready()
        # A store that starts answers late; until then there is 503.
        wait_for(f"all pulls, after {what}", lambda: not pushes.missing(), seconds=60)
    problems.append(None if pushes.ledger else "no push was acknowledged")
    report["problem"] = "\n".join(problem for problem in problems if problem) or None
    return report


def main():
    parser = argparse.ArgumentParser()
    for name in ["binary", "folder", "mc"]:
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kill-every", type=float)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.makedirs(options.folder, exist_ok=True)
    engine, compose = Engine(options.folder), None
    try:
        compose = Compose(engine, options.folder, options.binary, options.mc)
        killer, pushes = None, Pushes(compose.address, compose.password)
        pushes.start()
        if options.kill_every:
            killer = Killer(compose, options.folder, options.seed, options.kill_every)
            killer.start()
        print(f"ready {compose.address} {compose.password}", flush=True)
        if sys.stdin.readline().strip() == "finish":
            print(json.dumps(finish(compose, options.folder, killer, pushes)), flush=True)
    finally:
        if os.path.exists(os.path.join(options.folder, "checkout/deploy/compose/.env")):
            place = os.path.join(options.folder, "checkout/deploy/compose")
            engine.docker("compose", "down", "--volumes", "--timeout", "5", cwd=place, check=False)
        engine.stop()


if __name__ == "__main__":
    main()
