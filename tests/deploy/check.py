"""Looks into what `deploy/` makes: rendered charts, the compose file, the proxy, the dashboard. Run by `cargo xtask test`.

    check.py chart CHART VALUES RENDERED KUBERNETES-VERSION LAZULI
    check.py compose CONFIG-AS-JSON LAZULI
    check.py metrics CHART METRICS-TEXT RULES-FILE-TO-WRITE
    check.py proxy URL PASSWORD SERVER-LOG

The first thing that is wrong ends it with exit code 1 and a sentence.
"""

import base64
import hashlib
import ipaddress
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request


def fail(text):
    sys.exit("error: " + text)


def expect(condition, text):
    if not condition:
        fail(text)


def read(name):
    with open(name, encoding="utf-8") as file:
        return file.read()


# ---- the chart


def check_chart(chart, values_file, rendered, kubernetes, lazuli):
    import jsonschema
    import yaml

    schema = json.loads(read(os.path.join(chart, "values.schema.json")))
    values = merged(yaml.safe_load(read(os.path.join(chart, "values.yaml"))), yaml.safe_load(read(values_file)))
    jsonschema.Draft7Validator(schema).validate(values)
    every_value_has_a_schema(schema, yaml.safe_load(read(os.path.join(chart, "values.yaml"))), "")
    documents = [document for document in yaml.safe_load_all(read(rendered)) if document]
    names = [(document["kind"], document["metadata"]["name"]) for document in documents]
    expect(len(set(names)) == len(names), f"one name twice: {names}")
    objects = {}
    for document in documents:
        validate(document, kubernetes)
        objects[document["kind"]] = document
    expect("Secret" not in objects, "the chart makes no secrets, it names them")
    workload = objects.get("Deployment") or objects.get("StatefulSet")
    expect(workload, "neither a Deployment nor a StatefulSet")
    check_pod(workload, values, kubernetes)
    check_environment(workload, lazuli)
    check_references(objects, workload, values)
    wanted = {
        "PodDisruptionBudget": "Deployment" in objects and values["podDisruptionBudget"]["enabled"],
        "HorizontalPodAutoscaler": values["autoscaling"]["enabled"],
        "NetworkPolicy": values["networkPolicy"]["enabled"],
        "ServiceMonitor": values["metrics"]["serviceMonitor"]["enabled"],
        "PrometheusRule": values["metrics"]["prometheusRule"]["enabled"],
        "ConfigMap": values["metrics"]["dashboard"]["enabled"],
        "Ingress": values["ingress"]["enabled"],
        "ServiceAccount": values["serviceAccount"]["create"],
        "Service": True,
    }
    for kind, is_wanted in wanted.items():
        expect((kind in objects) == is_wanted, f"{kind}: rendered {kind in objects}, wanted {is_wanted}")
    print(" ".join(sorted(objects)))


def merged(values, more):
    for key, value in (more or {}).items():
        both = isinstance(value, dict) and isinstance(values.get(key), dict)
        values[key] = merged(values[key], value) if both else value
    return values


def every_value_has_a_schema(schema, values, path):
    for key, value in values.items():
        below = schema.get("properties", {}).get(key)
        expect(below or "properties" not in schema, f"values.schema.json does not know {path}{key}")
        if isinstance(value, dict) and below:
            every_value_has_a_schema(below, value, f"{path}{key}.")


def validate(document, kubernetes):
    """Against the schemas of Kubernetes, unknown fields refused; kinds of the Prometheus Operator by what it requires."""
    import kubernetes_validate

    kind, spec = document["kind"], document.get("spec", {})
    if kind == "ServiceMonitor":
        expect(set(spec) == {"selector", "endpoints"} and spec["endpoints"], f"ServiceMonitor: {spec}")
        for endpoint in spec["endpoints"]:
            expect(set(endpoint) <= {"port", "path", "interval"} and endpoint["port"], f"endpoint: {endpoint}")
    elif kind == "PrometheusRule":
        expect(list(spec) == ["groups"], f"PrometheusRule: {list(spec)}")
        expect(all(rule["expr"] for group in spec["groups"] for rule in group["rules"]), "a rule without expr")
    else:
        try:
            kubernetes_validate.validate(document, kubernetes, strict=True)
        except kubernetes_validate.ValidationError as error:
            fail(f"{kind} {document['metadata']['name']}: {error}")


def check_pod(workload, values, kubernetes):
    pod = workload["spec"]["template"]["spec"]
    [container] = pod["containers"]
    probes = {name: container[name + "Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    expect(probes["startup"]["path"] == probes["liveness"]["path"] == "/healthz", "liveness must not look at the database")
    expect(probes["readiness"]["path"] == "/readyz", "readiness must look at the database")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    expect(all(probe["port"] in ports for probe in probes.values()), "a probe asks a port that is not there")
    security, of_pod = container["securityContext"], pod["securityContext"]
    expect(of_pod["runAsNonRoot"] and of_pod["runAsUser"] != 0, "runs as root")
    expect(of_pod["seccompProfile"]["type"] == "RuntimeDefault", "no seccomp profile")
    expect(security["readOnlyRootFilesystem"], "the root file system can be written")
    expect(not security["allowPrivilegeEscalation"], "privileges can grow")
    expect(security["capabilities"]["drop"] == ["ALL"], "has capabilities")
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    volumes |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
    mounts = [mount["name"] for mount in container["volumeMounts"]]
    expect(set(mounts) == volumes, f"volumes {sorted(volumes)}, mounted {sorted(mounts)}")
    grace = pod["terminationGracePeriodSeconds"]
    expect(grace > values["shutdownGrace"] + values["preStopSleep"], f"killed after {grace} s, before it may end")
    can_sleep = tuple(int(number) for number in kubernetes.split(".")[:2]) >= (1, 30)
    expect(("lifecycle" in container) == can_sleep, "preStop.sleep is for Kubernetes 1.30 and newer")
    expect(pod["topologySpreadConstraints"], "nodes are not spread")


def check_environment(workload, lazuli):
    """The program itself judges the settings that a pod gets; secrets are replaced by something of their shape."""
    [container] = workload["spec"]["template"]["spec"]["containers"]
    secrets = {
        "LAZULI_MASTER_KEY": "00" * 32,
        "LAZULI_ADMIN_PASSWORD": "of some length",
        "LAZULI_DATABASE_URL": "postgres://u:p@database/lazuli",
        "LAZULI_STORAGE_ACCESS_KEY": "key",
        "LAZULI_STORAGE_SECRET_KEY": "secret",
    }
    settings = {}
    for variable in container["env"]:
        name = variable["name"]
        expect(name not in settings, f"{name} twice")
        is_secret = "valueFrom" in variable
        expect(is_secret == (name in secrets), f"{name}: from a secret {is_secret}")
        settings[name] = secrets[name] if is_secret else variable["value"]
    expect(settings["LAZULI_DATA_DIR"].startswith("/var/lib/lazuli/"), "the data folder is not on the volume")
    judge(lazuli, settings)


def judge(lazuli, settings):
    # Files of the container are not here.
    for name in ("LAZULI_TLS_CERTIFICATE", "LAZULI_TLS_KEY", "LAZULI_STORAGE_AUTHORITIES"):
        settings.pop(name, None)
    settings["LAZULI_DATA_DIR"] = os.getcwd()
    done = subprocess.run([lazuli, "config", "--check"], env=settings, capture_output=True, text=True, timeout=60)
    expect(done.returncode == 0, f"lazuli config --check: {done.stdout}{done.stderr}")


def check_references(objects, workload, values):
    """Names, ports and labels by which objects find each other."""
    labels = workload["spec"]["template"]["metadata"]["labels"]
    [container] = workload["spec"]["template"]["spec"]["containers"]
    container_ports = {port["name"] for port in container["ports"]}
    name = workload["metadata"]["name"]

    def selects(selector, what):
        expect(selector and selector.items() <= labels.items(), f"{what} selects {selector}, pods have {labels}")

    service = objects["Service"]
    service_ports = {port["name"] for port in service["spec"]["ports"]}
    selects(workload["spec"]["selector"]["matchLabels"], "the workload")
    selects(service["spec"]["selector"], "the service")
    for port in service["spec"]["ports"]:
        expect(port["targetPort"] in container_ports, f"the service's port {port} leads nowhere")
    expect(("https" in service_ports) == (values["tls"]["existingSecret"] != ""), "port https")
    account = workload["spec"]["template"]["spec"]["serviceAccountName"]
    if "ServiceAccount" in objects:
        expect(account == objects["ServiceAccount"]["metadata"]["name"], f"no service account {account}")
    if "PodDisruptionBudget" in objects:
        selects(objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"], "the disruption budget")
    if "NetworkPolicy" in objects:
        policy = objects["NetworkPolicy"]["spec"]
        selects(policy["podSelector"]["matchLabels"], "the network policy")
        ports = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
        expect(ports == container_ports, f"the network policy opens {ports}, the pod has {container_ports}")
    if "HorizontalPodAutoscaler" in objects:
        target = objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
        expect((target["kind"], target["name"]) == (workload["kind"], name), f"scales {target}")
        expect("replicas" not in workload["spec"], "replicas and an autoscaler")
    if "Ingress" in objects:
        for rule in objects["Ingress"]["spec"]["rules"]:
            paths = rule["http"]["paths"]
            expect({path["path"] for path in paths} == set(values["ingress"]["paths"]), "paths of the ingress")
            for path in paths:
                backend = path["backend"]["service"]
                fits = backend["name"] == service["metadata"]["name"] and backend["port"]["name"] in service_ports
                expect(fits, f"the ingress leads to {backend}")
    if "ServiceMonitor" in objects:
        monitor = objects["ServiceMonitor"]["spec"]
        have = service["metadata"]["labels"]
        expect(monitor["selector"]["matchLabels"].items() <= have.items(), "the monitor does not select the service")
        expect(monitor["endpoints"][0]["port"] in service_ports, "the monitor asks a port that is not there")
    if "ConfigMap" in objects:
        json.loads(objects["ConfigMap"]["data"]["lazuli.json"])


# ---- the compose file


def check_compose(config_file, lazuli):
    config = json.loads(read(config_file))
    services = config["services"]
    nodes = {name: service for name, service in services.items() if name.startswith("node")}
    expect(len(nodes) == 3, f"nodes: {sorted(nodes)}")
    first = nodes["node1"]["environment"]
    for name, node in nodes.items():
        expect(node["environment"] == first, f"{name} has other settings than node1")
        expect(node["read_only"] and node["cap_drop"] == ["ALL"], f"{name} has rights")
        expect("volumes" not in node, f"{name} keeps something")
    judge(lazuli, {key: str(value) for key, value in first.items()})
    subnet = ipaddress.ip_network(config["networks"]["default"]["ipam"]["config"][0]["subnet"])
    fixed = [service["networks"]["default"] for service in services.values()]
    addresses = [ipaddress.ip_address(network["ipv4_address"]) for network in fixed if network]
    expect(len(set(addresses)) == 4 and all(address in subnet for address in addresses), f"addresses: {addresses}")
    trusted = first["LAZULI_TRUSTED_PROXIES"]
    proxy = services["proxy"]
    expect(proxy["networks"]["default"]["ipv4_address"] == trusted, f"nodes trust {trusted}, the proxy is elsewhere")
    configuration = next(volume["source"] for volume in proxy["volumes"] if volume["target"] == "/etc/nginx/nginx.conf")
    known = set(re.findall(r"server (\w+):5000", read(configuration)))
    expect(known == set(nodes), f"nginx knows {sorted(known)}, there are {sorted(nodes)}")
    for name, service in services.items():
        expect(set(service.get("depends_on", {})) <= set(services), f"{name} depends on what is not there")
        published = [port.get("host_ip") for port in service.get("ports", [])]
        expect(all(address == "127.0.0.1" for address in published), f"{name} listens on {published}")
    asked = services["postgres"]["healthcheck"]["test"]
    expect("--host=127.0.0.1" in asked, "the server that makes the database is taken for the one that serves it")
    expect("ports" not in services["postgres"] and "ports" not in services["s3"], "the engines can be reached")


# ---- metrics


def check_metrics(chart, metrics_file, rules_file):
    """Every metric that alerts and dashboard name is one that a running server has."""
    import yaml

    served = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", read(metrics_file), re.M):
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"], "info": ["_info"]}
        served |= {name + suffix for suffix in suffixes.get(kind, [""])}
    expect("lazuli_http_requests_total" in served, f"no metrics: {sorted(served)}")
    dashboard = json.loads(read(os.path.join(chart, "files/dashboard.json")))
    panels = dashboard["panels"]
    expect(len({panel["id"] for panel in panels}) == len(panels), "two panels have one id")
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    alerts = yaml.safe_load(read(os.path.join(chart, "files/alerts.yaml")))
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    queries = [variable["query"] for variable in dashboard["templating"]["list"]]
    texts = expressions + queries + [rule["expr"] for rule in rules]
    # A server on a disk has no journal: the names of these stand in the program.
    journal = read(os.path.join(chart, "../../../crates/server/src/journal.rs"))
    served |= set(re.findall(r'"(lazuli_journal_\w+)",\s+"gauge"', journal))
    for text in texts:
        for name in re.findall(r"\b(?:lazuli|process)_\w+", text):
            expect(name in served, f"there is no metric {name}, in: {text}")
    # Grafana's variables stand for values that promtool can read.
    plain = [expression.replace("$__rate_interval", "5m") for expression in expressions]
    recorded = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(plain)]
    with open(rules_file, "w", encoding="utf-8") as file:
        yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}, file)
    print(f"{len(rules)} alerts, {len(expressions)} expressions of the dashboard")


# ---- the proxy


def check_proxy(url, password, log):
    """A large blob goes through in one stream both ways, metrics stay inside, and what clients forge is not believed."""
    basic = base64.b64encode(f"lazuli:{password}".encode()).decode()
    forged = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "forged.example.com"}

    def ask(method, path, body=None, signed_in=True, headers=None):
        target = path if path.startswith("http") else url + path
        request = urllib.request.Request(target, data=body, method=method, headers=headers or {})
        if signed_in:
            request.add_header("Authorization", "Basic " + basic)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    status, headers, _ = ask("GET", "/v2/", signed_in=False, headers=forged)
    challenge = headers["WWW-Authenticate"] or ""
    expect(status == 401 and f'realm="{url}/oauth2/token"' in challenge, f"{status} {challenge}")
    deadline = time.monotonic() + 10
    while "path=/v2/" not in read(log):
        expect(time.monotonic() < deadline, f"the request is not in the log: {read(log)}")
        time.sleep(0.05)
    expect(forged["X-Forwarded-For"] not in read(log), "a forged address is believed")
    expect(ask("GET", "/metrics")[0] == 404, "/metrics can be read through the proxy")
    expect(ask("GET", "/readyz")[0] == 200, "/readyz cannot be read through the proxy")
    content = os.urandom(1 << 20) * 24
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    status, headers, _ = ask("POST", "/v2/through/proxy/blobs/uploads/", body=b"")
    expect(status == 202, f"POST: {status}")
    location = headers["Location"]
    kind = {"Content-Type": "application/octet-stream"}
    status, _, body = ask("PUT", f"{location}{'&' if '?' in location else '?'}digest={digest}", body=content, headers=kind)
    expect(status == 201, f"PUT: {status} {body[:300]}")
    status, _, body = ask("GET", f"/v2/through/proxy/blobs/{digest}")
    expect(status == 200 and body == content, f"GET: {status}, {len(body)} bytes")


COMMANDS = {"chart": check_chart, "compose": check_compose, "metrics": check_metrics, "proxy": check_proxy}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    COMMANDS[sys.argv[1]](*sys.argv[2:])
