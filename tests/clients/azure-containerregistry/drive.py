"""The library azure-containerregistry against a running server: everything it offers, sync and async, signed in and anonymous.

Prints a line for each check, and exits with 1 if one failed. Settings, from the environment:

  ENDPOINT           https://HOST:PORT of the registry
  REGISTRY_CA        file of the authority that its certificate is from (default: those the system trusts)
  USERNAME_, PASSWORD  the admin user: sent with every request, because the library has no such credential; or
  AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET, AZURE_AUTHORITY_HOST  a program of the directory, by azure-identity
  ANONYMOUS          1 if the registry lets everybody pull (then that is checked, too)
"""

import asyncio
import base64
import hashlib
import inspect
import io
import json
import os
import sys
import uuid

from azure.containerregistry import (
    ArtifactManifestOrder,
    ArtifactTagOrder,
    ContainerRegistryClient,
    RepositoryProperties,
)
from azure.containerregistry.aio import ContainerRegistryClient as AioClient
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.core.pipeline.policies import SansIOHTTPPolicy

ENDPOINT = os.environ["ENDPOINT"]
CA = os.environ.get("REGISTRY_CA", True)
if CA is not True:
    # The clients that the library makes for itself take no options.
    os.environ["REQUESTS_CA_BUNDLE"] = os.environ["SSL_CERT_FILE"] = CA
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
failures = 0


class Basic(SansIOHTTPPolicy):
    """Signs every request in with a user name and a password."""

    def __init__(self, user, password):
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.value = f"Basic {pair}"

    def on_request(self, request):
        request.http_request.headers["Authorization"] = self.value


def client(is_async, anonymous=False):
    kind = AioClient if is_async else ContainerRegistryClient
    options = {"connection_verify": CA, "retry_total": 0}
    if anonymous:
        return kind(ENDPOINT, None, **options)
    if "AZURE_CLIENT_SECRET" not in os.environ:
        policy = Basic(os.environ["USERNAME_"], os.environ["PASSWORD"])
        return kind(ENDPOINT, None, per_call_policies=[policy], **options)
    if is_async:
        from azure.identity.aio import ClientSecretCredential
    else:
        from azure.identity import ClientSecretCredential
    credential = ClientSecretCredential(
        os.environ["AZURE_TENANT_ID"],
        os.environ["AZURE_CLIENT_ID"],
        os.environ["AZURE_CLIENT_SECRET"],
        authority=os.environ["AZURE_AUTHORITY_HOST"],
        disable_instance_discovery=True,
        connection_verify=CA,
    )
    return kind(ENDPOINT, credential, **options)


async def opened(is_async, anonymous=False):
    """A client, and what closes it with all that it opened."""
    it = client(is_async, anonymous)
    if is_async:
        await it.__aenter__()
        return it, it.__aexit__
    it.__enter__()
    return it, it.__exit__


async def call(value):
    """What a method returns, of either client."""
    return await value if inspect.isawaitable(value) else value


async def everything(items):
    if hasattr(items, "__aiter__"):
        return [item async for item in items]
    return list(items)


async def pages(items):
    if hasattr(items, "__aiter__"):
        return [[item async for item in page] async for page in items.by_page()]
    return [list(page) for page in items.by_page()]


def same(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r} is not {wanted!r}")


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


async def refused(error, run, text=""):
    try:
        await run()
    except error as refusal:
        if text not in str(refusal):
            raise AssertionError(f"{text!r} is not in {refusal}") from refusal
        return refusal
    raise AssertionError("this should have been refused")


class Scene:
    """A client, and repositories of its own."""

    def __init__(self, it):
        self.it = it
        self.name = f"sdk/{uuid.uuid4().hex[:8]}"

    async def upload(self, data, name=None):
        digest, size = await call(self.it.upload_blob(name or self.name, io.BytesIO(data)))
        same((digest, size), (digest_of(data), len(data)))
        return {"digest": digest, "size": size}

    async def image(self, tag, note="", name=None, architecture="arm64"):
        config = json.dumps({"architecture": architecture, "os": "linux", "note": note}).encode()
        manifest = {
            "schemaVersion": 2,
            "config": {"mediaType": CONFIG, **await self.upload(config, name)},
            "layers": [{"mediaType": LAYER, **await self.upload(f"layer {note}".encode(), name)}],
        }
        digest = await call(self.it.set_manifest(name or self.name, manifest, tag=tag))
        return digest, manifest


async def blobs(s):
    small, large = b"small", os.urandom((9 << 20) + 17)
    for data in [small, large]:
        uploaded = await s.upload(data)
        stream = await call(s.it.download_blob(s.name, uploaded["digest"]))
        same(b"".join(await everything(stream)), data)
    await call(s.it.delete_blob(s.name, digest_of(small)))
    # Twice is no error.
    await call(s.it.delete_blob(s.name, digest_of(small)))
    stream = s.it.download_blob
    await refused(ResourceNotFoundError, lambda: call(stream(s.name, digest_of(small))))


async def manifests(s):
    digest, manifest = await s.image("v1")
    for reference in ["v1", digest]:
        found = await call(s.it.get_manifest(s.name, reference))
        same((found.digest, found.manifest), (digest, manifest))
        same(found.media_type, "application/vnd.oci.image.manifest.v1+json")
    again = await call(s.it.set_manifest(s.name, manifest))
    same(again, digest)
    stream = io.BytesIO(json.dumps(manifest, indent=1).encode())
    other = await call(s.it.set_manifest(s.name, stream, tag="stream"))
    same(other, digest_of(stream.getvalue()))
    wrong = "application/vnd.docker.distribution.manifest.v2+json"
    body = {**manifest, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    await refused(
        HttpResponseError,
        lambda: call(s.it.set_manifest(s.name, body, tag="wrong", media_type=wrong)),
    )
    await refused(ResourceNotFoundError, lambda: call(s.it.get_manifest(s.name, "nope")))


async def docker_manifest(s):
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    config = "application/vnd.docker.container.image.v1+json"
    layer = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    document = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {"mediaType": config, **await s.upload(b'{"architecture":"s390x","os":"linux"}')},
        "layers": [{"mediaType": layer, **await s.upload(b"docker layer")}],
    }
    digest = await call(s.it.set_manifest(s.name, document, tag="docker", media_type=kind))
    found = await call(s.it.get_manifest(s.name, "docker"))
    same((found.digest, found.media_type), (digest, kind))
    same((await call(s.it.get_manifest_properties(s.name, digest))).architecture, "s390x")


async def manifest_properties(s):
    digest, manifest = await s.image("v1")
    for reference in ["v1", digest]:
        found = await call(s.it.get_manifest_properties(s.name, reference))
        same((found.digest, found.repository_name), (digest, s.name))
        same((found.architecture, found.operating_system), ("arm64", "linux"))
        same(found.tags, ["v1"])
        sizes = [manifest["config"]["size"], manifest["layers"][0]["size"]]
        same(found.size_in_bytes, sum(sizes))
        same((found.can_read, found.can_write, found.can_list, found.can_delete), (True,) * 4)
        same(found.created_on <= found.last_updated_on, True)
    child = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 9}
    child["platform"] = {"architecture": "arm64", "os": "linux"}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [child]}
    both = await call(s.it.set_manifest(s.name, index, tag="index", media_type=INDEX))
    found = await call(s.it.get_manifest_properties(s.name, both))
    same((found.architecture, found.operating_system), (None, None))
    listed = await everything(s.it.list_manifest_properties(s.name))
    same({item.digest for item in listed}, {digest, both})
    missing = "sha256:" + "0" * 64
    for reference in [missing, "nope"]:
        await refused(
            ResourceNotFoundError,
            lambda reference=reference: call(s.it.get_manifest_properties(s.name, reference)),
        )
    await refused(
        HttpResponseError, lambda: call(s.it.get_manifest_properties(s.name, "sha256:abc")), "digest"
    )


async def manifest_order(s):
    digests = [(await s.image(f"v{number}", str(number)))[0] for number in range(4)]
    listing = s.it.list_manifest_properties
    for size in [1, 2, 10]:
        up = ArtifactManifestOrder.LAST_UPDATED_ON_ASCENDING
        down = ArtifactManifestOrder.LAST_UPDATED_ON_DESCENDING
        found = await everything(listing(s.name, order_by=up, results_per_page=size))
        same([item.digest for item in found], digests)
        found = await everything(listing(s.name, order_by=down, results_per_page=size))
        same([item.digest for item in found], digests[::-1])
        found = await everything(listing(s.name, results_per_page=size))
        same([item.digest for item in found], sorted(digests))


async def change_manifest(s):
    digest, _ = await s.image("v1")
    update = s.it.update_manifest_properties
    off = dict.fromkeys(["can_delete", "can_list", "can_read", "can_write"], False)
    found = await call(update(s.name, digest, **off))
    same((found.can_read, found.can_write, found.can_list, found.can_delete), (False,) * 4)
    # What is known of it can be read all the same.
    found = await call(s.it.get_manifest_properties(s.name, digest))
    same((found.can_read, found.can_write, found.can_list, found.can_delete), (False,) * 4)
    same(await everything(s.it.list_manifest_properties(s.name)), [])
    refusal = await refused(HttpResponseError, lambda: call(s.it.get_manifest(s.name, "v1")))
    same(refusal.status_code, 405)
    refusal = await refused(HttpResponseError, lambda: call(s.it.delete_manifest(s.name, digest)))
    same(refusal.status_code, 405)
    found.can_delete = found.can_list = found.can_read = found.can_write = True
    found = await call(update(s.name, digest, found))
    same((found.can_read, found.can_write, found.can_list, found.can_delete), (True,) * 4)
    found = await call(update(s.name, "v1", can_write=False))
    same((found.can_write, found.can_delete), (False, True))
    await call(update(s.name, "v1", can_write=True))
    await call(s.it.get_manifest(s.name, "v1"))


async def tag_properties(s):
    digest, _ = await s.image("v1")
    found = await call(s.it.get_tag_properties(s.name, "v1"))
    same((found.name, found.digest), ("v1", digest))
    same((found.can_read, found.can_write, found.can_list, found.can_delete), (True,) * 4)
    await refused(ResourceNotFoundError, lambda: call(s.it.get_tag_properties(s.name, "nope")), "TAG")


async def tag_order(s):
    names = ["v2", "v1", "v4", "v3"]
    for number, name in enumerate(names):
        await s.image(name, str(number % 2))
    listing = s.it.list_tag_properties
    for size in [1, 3, 10]:
        up = ArtifactTagOrder.LAST_UPDATED_ON_ASCENDING
        down = ArtifactTagOrder.LAST_UPDATED_ON_DESCENDING
        found = await everything(listing(s.name, order_by=up, results_per_page=size))
        same([item.name for item in found], names)
        found = await everything(listing(s.name, order_by=down, results_per_page=size))
        same([item.name for item in found], names[::-1])
        found = await everything(listing(s.name, results_per_page=size))
        same([item.name for item in found], sorted(names))
    found = await pages(listing(s.name, results_per_page=1))
    same([len(page) for page in found], [1, 1, 1, 1])


async def change_tag(s):
    digest, _ = await s.image("v1")
    update = s.it.update_tag_properties
    off = dict.fromkeys(["can_delete", "can_list", "can_read", "can_write"], False)
    found = await call(update(s.name, "v1", **off))
    same((found.can_read, found.can_write, found.can_list, found.can_delete), (False,) * 4)
    same(await everything(s.it.list_tag_properties(s.name)), [])
    refusal = await refused(HttpResponseError, lambda: call(s.it.get_manifest(s.name, "v1")))
    same(refusal.status_code, 405)
    await call(s.it.get_manifest(s.name, digest))
    await refused(HttpResponseError, lambda: call(s.it.delete_tag(s.name, "v1")), "Enabled of the tag")
    await refused(HttpResponseError, lambda: s.image("v1", "other"), "writeEnabled of the tag v1")
    found = await call(s.it.get_tag_properties(s.name, "v1"))
    found.can_delete = found.can_list = found.can_read = found.can_write = True
    found = await call(update(s.name, "v1", found))
    same((found.can_read, found.can_write, found.can_list, found.can_delete), (True,) * 4)
    await s.image("v1", "other")


async def repository_properties(s):
    await s.image("v1", "1")
    await s.image("v2", "2")
    await s.image("v3", "2")
    found = await call(s.it.get_repository_properties(s.name))
    same((found.name, found.manifest_count, found.tag_count), (s.name, 2, 3))
    same((found.can_read, found.can_write, found.can_list, found.can_delete), (True,) * 4)
    same(found.created_on <= found.last_updated_on, True)
    await refused(
        ResourceNotFoundError, lambda: call(s.it.get_repository_properties("nope")), "NAME_UNKNOWN"
    )


async def change_repository(s):
    await s.image("v1")
    update = s.it.update_repository_properties
    off = RepositoryProperties(can_delete=False, can_list=False, can_read=False, can_write=False)
    found = await call(update(s.name, off))
    same((found.can_read, found.can_write, found.can_list, found.can_delete), (False,) * 4)
    found = await call(s.it.get_repository_properties(s.name))
    same((found.can_read, found.can_write, found.can_list, found.can_delete), (False,) * 4)
    same(s.name in await everything(s.it.list_repository_names()), False)
    await refused(HttpResponseError, lambda: call(s.it.delete_repository(s.name)), "disallowed")
    await refused(HttpResponseError, lambda: s.image("v2", "new"), "disallowed")
    on = dict.fromkeys(["can_delete", "can_list", "can_read", "can_write"], True)
    found = await call(update(s.name, **on))
    same((found.can_read, found.can_write, found.can_list, found.can_delete), (True,) * 4)
    same(s.name in await everything(s.it.list_repository_names()), True)


async def repositories(s):
    names = [f"{s.name}/{letter}" for letter in "bac"]
    for name in names:
        await s.image("v1", name=name)
    whole = await everything(s.it.list_repository_names())
    same(sorted(whole), whole)
    same(set(names) <= set(whole), True)
    paged = await pages(s.it.list_repository_names(results_per_page=2))
    same([name for page in paged for name in page], whole)
    same(all(len(page) <= 2 for page in paged), True)


async def deletions(s):
    one, _ = await s.image("v1", "1")
    await s.image("v1-too", "1")
    two, _ = await s.image("v2", "2")
    await call(s.it.delete_tag(s.name, "v1-too"))
    await call(s.it.delete_tag(s.name, "v1-too"))
    found = await call(s.it.get_manifest_properties(s.name, one))
    same(found.tags, ["v1"])
    await call(s.it.delete_manifest(s.name, "v1"))
    await call(s.it.delete_manifest(s.name, one))
    listed = await everything(s.it.list_manifest_properties(s.name))
    same([item.digest for item in listed], [two])
    await call(s.it.delete_repository(s.name))
    await call(s.it.delete_repository(s.name))
    same(s.name in await everything(s.it.list_repository_names()), False)
    await refused(ResourceNotFoundError, lambda: call(s.it.get_repository_properties(s.name)))
    # The last manifest takes its repository with it.
    last, _ = await s.image("v3", "3")
    await call(s.it.delete_manifest(s.name, last))
    same(s.name in await everything(s.it.list_repository_names()), False)


async def anonymous(s):
    digest, manifest = await s.image("v1")
    reader, close = await opened(isinstance(s.it, AioClient), anonymous=True)
    try:
        same(s.name in await everything(reader.list_repository_names()), True)
        same((await call(reader.get_manifest(s.name, "v1"))).digest, digest)
        layer = manifest["layers"][0]["digest"]
        stream = await call(reader.download_blob(s.name, layer))
        same(digest_of(b"".join(await everything(stream))), layer)
        same((await call(reader.get_repository_properties(s.name))).manifest_count, 1)
        same([tag.name for tag in await everything(reader.list_tag_properties(s.name))], ["v1"])
        same((await call(reader.get_manifest_properties(s.name, "v1"))).digest, digest)
        for run in [
            lambda: call(reader.update_repository_properties(s.name, can_write=False)),
            lambda: call(reader.update_tag_properties(s.name, "v1", can_write=False)),
            lambda: call(reader.delete_tag(s.name, "v1")),
            lambda: call(reader.delete_repository(s.name)),
            lambda: call(reader.set_manifest(s.name, manifest, tag="v2")),
            lambda: call(reader.upload_blob(s.name, io.BytesIO(b"x" * 100_000))),
        ]:
            await refused(ClientAuthenticationError, run)
    finally:
        await call(close(None, None, None))


CHECKS = [
    blobs,
    manifests,
    docker_manifest,
    manifest_properties,
    manifest_order,
    change_manifest,
    tag_properties,
    tag_order,
    change_tag,
    repository_properties,
    change_repository,
    repositories,
    deletions,
]


async def main():
    global failures
    checks = CHECKS + ([anonymous] if os.environ.get("ANONYMOUS") == "1" else [])
    for is_async in [False, True]:
        it, close = await opened(is_async)
        for check in checks:
            name = f"{'aio' if is_async else 'sync'} {check.__name__}"
            try:
                await check(Scene(it))
                print(f"ok {name}", flush=True)
            except Exception as error:  # noqa: BLE001
                failures += 1
                print(f"FAILED {name}: {type(error).__name__}: {error}"[:1500], flush=True)
        await call(close(None, None, None))
    return 1 if failures else 0


sys.exit(asyncio.run(main()))
