"""Azure's libraries for Python against a server: azure-identity and azure-mgmt-containerregistry, sync and async.

Prints each check as a line of JSON, as drive.py does. usage: sdk.py (settings as for drive.py)
"""

import asyncio
import base64
import datetime
import json
import os
import subprocess
import sys
import time
import uuid

import requests
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import (
    CertificateCredential,
    ClientAssertionCredential,
    ClientSecretCredential,
    DefaultAzureCredential,
    EnvironmentCredential,
)
from azure.identity import aio as identity_aio
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.containerregistry import aio as mgmt_aio
from azure.mgmt.containerregistry import models

ARM = os.environ["LAZULI_AZ_ARM"]
ADMIN = os.environ["LAZULI_AZ_ADMIN"]
PASSWORD = os.environ["LAZULI_AZ_PASSWORD"]
SCOPE = f"{ARM}//.default"
REGISTRY_SCOPE = "https://containerregistry.azure.net/.default"
SECTION = "libraries"
failures = 0


def check(name, run):
    global failures
    began = time.monotonic()
    line = {"section": SECTION, "template": name, "command": name, "note": ""}
    result = None
    try:
        result = run()
        line["ok"] = True
    except Exception as error:  # noqa: BLE001
        failures += 1
        line |= {"ok": False, "error": f"{type(error).__name__}: {error}"[:900]}
    line["seconds"] = round(time.monotonic() - began, 2)
    print(json.dumps(line), flush=True)
    return result


def same(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r} is not {wanted!r}")


def holds(condition, what="not so"):
    if not condition:
        raise AssertionError(what)


def refused(error, run, text=""):
    try:
        run()
    except error as refusal:
        holds(text in str(refusal), f"{text!r} is not in {refusal}")
        return
    raise AssertionError("this should have been refused")


def claims(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


# --- what the checks begin with: an application with a secret, made by the administrator


def admin_token(scope):
    form = {
        "grant_type": "password",
        "client_id": "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
        "username": ADMIN,
        "password": PASSWORD,
        "scope": f"{scope} openid profile offline_access",
    }
    answer = requests.post(f"{ARM}/organizations/oauth2/v2.0/token", data=form, timeout=30)
    answer.raise_for_status()
    return answer.json()["access_token"]


class World:
    def __init__(self):
        self.arm = requests.Session()
        self.arm.headers["Authorization"] = "Bearer " + admin_token(SCOPE)
        self.graph = requests.Session()
        self.graph.headers["Authorization"] = "Bearer " + admin_token(f"{ARM}/graph//.default")
        found = self.arm.get(f"{ARM}/subscriptions?api-version=2022-12-01", timeout=30).json()["value"][0]
        self.subscription, self.tenant = found["subscriptionId"], found["tenantId"]

    def post(self, path, body):
        answer = self.graph.post(f"{ARM}/graph/v1.0/{path}", json=body, timeout=30)
        if answer.status_code >= 300:
            raise AssertionError(f"{path}: {answer.status_code} {answer.text[:400]}")
        return answer.json() if answer.text else None

    def application(self):
        self.app = self.post("applications", {"displayName": "libraries"})
        self.client = self.app["appId"]
        principal = self.post("servicePrincipals", {"appId": self.client})
        secret = self.post(f"applications/{self.app['id']}/addPassword", {"passwordCredential": {"displayName": "one"}})
        self.secret = secret["secretText"]
        role = "b24988ac-6180-42a0-ab88-20f7382dd24c"
        scope = f"/subscriptions/{self.subscription}"
        body = {
            "properties": {
                "roleDefinitionId": f"{scope}/providers/Microsoft.Authorization/roleDefinitions/{role}",
                "principalId": principal["id"],
                "principalType": "ServicePrincipal",
            }
        }
        url = f"{ARM}{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}?api-version=2022-04-01"
        answer = self.arm.put(url, json=body, timeout=30)
        same(answer.status_code, 201)

    def certificate(self):
        """A certificate of the application's own, and its private key, as PEM."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import rsa
        from cryptography.x509.oid import NameOID

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "libraries")])
        now = datetime.datetime.now(datetime.timezone.utc)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .sign(key, hashes.SHA256())
        )
        der = made.public_bytes(serialization.Encoding.DER)
        credential = {
            "type": "AsymmetricX509Cert",
            "usage": "Verify",
            "key": base64.b64encode(der).decode(),
            "displayName": "CN=libraries",
        }
        answer = self.graph.patch(
            f"{ARM}/graph/v1.0/applications/{self.app['id']}", json={"keyCredentials": [credential]}, timeout=30
        )
        holds(answer.status_code in (200, 204), answer.text[:400])
        return made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def options():
    return {"authority": ARM, "disable_instance_discovery": True}


def identities(world):
    def secret():
        credential = ClientSecretCredential(world.tenant, world.client, world.secret, **options())
        token = credential.get_token(SCOPE)
        told = claims(token.token)
        same(told["tid"], world.tenant)
        same(told.get("appid") or told.get("azp"), world.client)
        holds(token.expires_on > time.time() + 300)
        holds(credential.get_token(REGISTRY_SCOPE).token != token.token)

    check("azure-identity: ClientSecretCredential", secret)
    check(
        "azure-identity: a wrong secret is refused",
        lambda: refused(
            ClientAuthenticationError,
            lambda: ClientSecretCredential(world.tenant, world.client, "wrong", **options()).get_token(SCOPE),
            "AADSTS7000215",
        ),
    )

    def certificate():
        pem = world.certificate()
        credential = CertificateCredential(world.tenant, world.client, certificate_data=pem, **options())
        same(claims(credential.get_token(SCOPE).token)["tid"], world.tenant)
        world.pem = pem

    check("azure-identity: CertificateCredential", certificate)

    def environment():
        os.environ |= {
            "AZURE_AUTHORITY_HOST": ARM,
            "AZURE_TENANT_ID": world.tenant,
            "AZURE_CLIENT_ID": world.client,
            "AZURE_CLIENT_SECRET": world.secret,
        }
        for kind in (EnvironmentCredential, DefaultAzureCredential):
            credential = kind(disable_instance_discovery=True)
            same(claims(credential.get_token(SCOPE).token)["tid"], world.tenant)

    check("azure-identity: EnvironmentCredential and DefaultAzureCredential", environment)

    async def asynchronous():
        async with identity_aio.ClientSecretCredential(
            world.tenant, world.client, world.secret, **options()
        ) as credential:
            same(claims((await credential.get_token(SCOPE)).token)["tid"], world.tenant)
        async with identity_aio.CertificateCredential(
            world.tenant, world.client, certificate_data=world.pem, **options()
        ) as credential:
            same(claims((await credential.get_token(SCOPE)).token)["tid"], world.tenant)

    check("azure-identity: ClientSecretCredential and CertificateCredential, async", lambda: asyncio.run(asynchronous()))

    def assertion_of_nobody():
        credential = ClientAssertionCredential(world.tenant, world.client, lambda: "a.b.c", **options())
        refused(ClientAuthenticationError, lambda: credential.get_token(SCOPE))

    check("azure-identity: ClientAssertionCredential with nobody's token is refused", assertion_of_nobody)


def registries(world):
    credential = ClientSecretCredential(world.tenant, world.client, world.secret, **options())
    client = ContainerRegistryManagementClient(
        credential, world.subscription, base_url=ARM, credential_scopes=[SCOPE], polling_interval=1
    )
    group, name = "librarygroup", "libraryreg"
    made = world.arm.put(
        f"{ARM}/subscriptions/{world.subscription}/resourcegroups/{group}?api-version=2024-11-01",
        json={"location": "eastus"},
        timeout=30,
    )
    same(made.status_code, 201)

    def create():
        available = client.registries.check_name_availability({"name": name, "type": "Microsoft.ContainerRegistry/registries"})
        same(available.name_available, True)
        body = models.Registry(location="eastus", sku=models.Sku(name="Premium"), tags={"a": "b"})
        registry = client.registries.begin_create(group, name, body).result(60)
        same(registry.provisioning_state, "Succeeded")
        same(registry.admin_user_enabled, False)
        same(registry.tags, {"a": "b"})
        again = client.registries.begin_create(group, name, body).result(60)
        same(again.id, registry.id)
        taken = client.registries.check_name_availability({"name": name, "type": "Microsoft.ContainerRegistry/registries"})
        same(taken.name_available, False)

    check("azure-mgmt-containerregistry: registries.begin_create, check_name_availability", create)

    def read():
        same(client.registries.get(group, name).name, name)
        holds(name in [r.name for r in client.registries.list()])
        same([r.name for r in client.registries.list_by_resource_group(group)], [name])
        refused(ResourceNotFoundError, lambda: client.registries.get(group, "nosuchreg"))
        holds("ScopeMaps" in [u.name for u in client.registries.list_usages(group, name).value])
        holds(len(list(client.operations.list())) > 10)

    check("azure-mgmt-containerregistry: get, list, list_by_resource_group, list_usages, operations.list", read)

    def update():
        changed = client.registries.begin_update(
            group, name, models.RegistryUpdateParameters(admin_user_enabled=True, tags={"c": "d"})
        ).result(60)
        same(changed.admin_user_enabled, True)
        same(changed.tags, {"c": "d"})
        refused(
            HttpResponseError,
            lambda: client.registries.begin_update(
                group, name, models.RegistryUpdateParameters(data_endpoint_enabled=True)
            ).result(60),
            "dataEndpointEnabled",
        )

    check("azure-mgmt-containerregistry: registries.begin_update", update)

    def credentials():
        first = client.registries.list_credentials(group, name)
        same(first.username, name)
        renewed = client.registries.regenerate_credential(group, name, {"name": "password"})
        holds(renewed.passwords[0].value != first.passwords[0].value)
        same(renewed.passwords[1].value, first.passwords[1].value)
        server = client.registries.get(group, name).login_server
        url = f"https://{server}/v2/_catalog"
        same(requests.get(url, auth=(name, renewed.passwords[0].value), timeout=30).status_code, 200)
        same(requests.get(url, auth=(name, first.passwords[0].value), timeout=30).status_code, 401)

    check("azure-mgmt-containerregistry: list_credentials, regenerate_credential; the passwords count at once", credentials)

    def scope_maps():
        made = client.scope_maps.begin_create(
            group, name, "readers", models.ScopeMap(actions=["repositories/hello/content/read"])
        ).result(60)
        same(made.actions, ["repositories/hello/content/read"])
        changed = client.scope_maps.begin_update(
            group, name, "readers", models.ScopeMapUpdateParameters(description="those who read")
        ).result(60)
        same(changed.description, "those who read")
        same(changed.actions, ["repositories/hello/content/read"])
        same(client.scope_maps.get(group, name, "readers").name, "readers")
        holds("_repositories_pull" in [m.name for m in client.scope_maps.list(group, name)])
        token = client.tokens.begin_create(
            group, name, "reader", models.Token(scope_map_id=made.id, status="enabled")
        ).result(60)
        same(client.tokens.get(group, name, "reader").status, "enabled")
        holds("reader" in [t.name for t in client.tokens.list(group, name)])
        passwords = client.registries.begin_generate_credentials(
            group, name, models.GenerateCredentialsParameters(token_id=token.id)
        ).result(60)
        same(passwords.username, "reader")
        same(sorted(p.name for p in passwords.passwords), ["password1", "password2"])
        changed = client.tokens.begin_update(
            group, name, "reader", models.TokenUpdateParameters(status="disabled")
        ).result(60)
        same(changed.status, "disabled")
        client.tokens.begin_delete(group, name, "reader").result(60)
        client.scope_maps.begin_delete(group, name, "readers").result(60)
        refused(ResourceNotFoundError, lambda: client.tokens.get(group, name, "reader"))

    check("azure-mgmt-containerregistry: scope_maps and tokens, all operations; begin_generate_credentials", scope_maps)

    def later():
        for lister in (client.webhooks, client.replications, client.cache_rules, client.credential_sets):
            same(list(lister.list(group, name)), [])
        same(list(client.connected_registries.list(group, name)), [])
        same(list(client.private_endpoint_connections.list(group, name)), [])

    check("azure-mgmt-containerregistry: lists of what comes later are empty", later)

    async def asynchronous():
        async with (
            identity_aio.ClientSecretCredential(world.tenant, world.client, world.secret, **options()) as signed_in,
            mgmt_aio.ContainerRegistryManagementClient(
                signed_in, world.subscription, base_url=ARM, credential_scopes=[SCOPE], polling_interval=1
            ) as other,
        ):
            same((await other.registries.get(group, name)).name, name)
            holds(name in [r.name async for r in other.registries.list()])
            poller = await other.registries.begin_update(group, name, models.RegistryUpdateParameters(tags={}))
            same((await poller.result()).tags, {})
            poller = await other.registries.begin_delete(group, name)
            await poller.result()
            try:
                await other.registries.get(group, name)
            except ResourceNotFoundError:
                return
            raise AssertionError("it is still there")

    check("azure-mgmt-containerregistry: get, list, begin_update, begin_delete, async", lambda: asyncio.run(asynchronous()))


def data_plane(world):
    """azure-containerregistry with azure-identity, on the default registry; and without signing in."""
    credential = ClientSecretCredential(world.tenant, world.client, world.secret, **options())
    client = ContainerRegistryManagementClient(
        credential, world.subscription, base_url=ARM, credential_scopes=[SCOPE], polling_interval=1
    )
    registry = next(r for r in client.registries.list() if r.name == "lazuli")
    group = registry.id.split("/")[4]

    def anonymous(allowed):
        change = models.RegistryUpdateParameters(anonymous_pull_enabled=allowed)
        same(client.registries.begin_update(group, "lazuli", change).result(60).anonymous_pull_enabled, allowed)

    check("azure-mgmt-containerregistry: anonymous pull on", lambda: anonymous(True))
    settings = dict(os.environ) | {
        "ENDPOINT": f"https://{registry.login_server}",
        "REGISTRY_CA": os.environ["REQUESTS_CA_BUNDLE"],
        "AZURE_TENANT_ID": world.tenant,
        "AZURE_CLIENT_ID": world.client,
        "AZURE_CLIENT_SECRET": world.secret,
        "AZURE_AUTHORITY_HOST": ARM,
        "ANONYMOUS": "1",
    }
    file = os.path.join(os.path.dirname(__file__), "../clients/azure-containerregistry/drive.py")
    done = subprocess.run([sys.executable, file], env=settings, capture_output=True, text=True, timeout=600, check=False)
    lines = done.stdout.splitlines()
    check("azure-containerregistry: everything was checked", lambda: holds(len(lines) > 20, done.stderr[-600:]))
    for line in lines:
        word, _, name = line.partition(" ")
        check(f"azure-containerregistry: {name[:60]}", lambda word=word, line=line: holds(word == "ok", line))
    same_code = lambda: same(done.returncode, 0)  # noqa: E731
    check("azure-containerregistry: its own verdict", same_code)
    check("azure-mgmt-containerregistry: anonymous pull off", lambda: anonymous(False))


def main():
    world = check("Microsoft Graph and ARM by plain requests: sign in, find the subscription", World)
    if world is not None:
        check("Microsoft Graph: application, service principal, secret; a role", world.application)
        identities(world)
        registries(world)
        data_plane(world)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
