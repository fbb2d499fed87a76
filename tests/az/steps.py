"""The commands of az that are tried, what each has to answer, and where this differs from Azure on purpose."""

import hashlib
import json
import os

from drive import Failed

ZERO = "00000000-0000-0000-0000-000000000000"
GUID = 36


def variables():
    """What command lines are filled in with, from the environment."""
    return {
        "reg": "loopreg",
        "reg2": "loopregtwo",
        "rg": "looprg",
        "admin": os.environ["LAZULI_AZ_ADMIN"],
        "password": os.environ["LAZULI_AZ_PASSWORD"],
        "domain": os.environ.get("LAZULI_AZ_DOMAIN", "lazuli.test"),
        "arm": os.environ["LAZULI_AZ_ARM"],
        "other": "Another-passw0rd!",
        "program": os.environ.get("LAZULI_AZ_PROGRAM", ""),
        "program_secret": os.environ.get("LAZULI_AZ_SECRET", ""),
        "tenant": os.environ.get("LAZULI_AZ_TENANT", ""),
    }


def has(*names):
    """Whether all these are in a list."""
    return lambda found: isinstance(found, list) and set(names) <= set(found)


def at_least(number):
    return lambda found: found is not None and found >= number


def is_set(found):
    return bool(found)


def session():
    import requests

    return requests.Session()


def push(run, registry, repository, tag, extra="", user=None, password=None, expect=201):
    """Pushes an image of two small blobs as a registry's client does. Takes the refresh token of `az acr login`."""
    import azure.cli.core  # noqa: F401
    from drive import az

    http = session()
    if user is None:
        code, out, err = az(["acr", "login", "-n", registry, "--expose-token"])
        if code != 0:
            raise Failed(err[-400:])
        told = json.loads(out)
        server = told["loginServer"]
        form = {"grant_type": "refresh_token", "refresh_token": told["refreshToken"]}
    else:
        server = run.variables["ls"]
        form = {"grant_type": "password", "username": user, "password": password}
    form |= {"service": server, "scope": f"repository:{repository}:pull,push"}
    answer = http.post(f"https://{server}/oauth2/token", data=form)
    if answer.status_code != 200:
        if answer.status_code == expect:
            return
        raise Failed(f"token: {answer.status_code} {answer.text[:300]}")
    http.headers["Authorization"] = "Bearer " + answer.json()["access_token"]
    base = f"https://{server}/v2/{repository}"
    blobs = []
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}
    for content in (json.dumps(config).encode(), f"layer {repository} {extra}".encode()):
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        begun = http.post(base + "/blobs/uploads/")
        if begun.status_code != 202:
            if begun.status_code == expect:
                return
            raise Failed(f"upload: {begun.status_code} {begun.text[:300]}")
        place = begun.headers["Location"]
        if place.startswith("/"):
            place = f"https://{server}{place}"
        glue = "&" if "?" in place else "?"
        done = http.put(f"{place}{glue}digest={digest}", data=content)
        if done.status_code != 201:
            raise Failed(f"blob: {done.status_code} {done.text[:300]}")
        blobs.append({"digest": digest, "size": len(content)})
    image = "application/vnd.oci.image."
    manifest = {
        "schemaVersion": 2,
        "mediaType": image + "manifest.v1+json",
        "config": {"mediaType": image + "config.v1+json", **blobs[0]},
        "layers": [{"mediaType": image + "layer.v1.tar", **blobs[1]}],
    }
    put = http.put(
        f"{base}/manifests/{tag}",
        data=json.dumps(manifest),
        headers={"Content-Type": manifest["mediaType"]},
    )
    if put.status_code != expect:
        raise Failed(f"manifest: {put.status_code}, not {expect}: {put.text[:300]}")
    if put.status_code == 201:
        run.variables["digest"] = put.headers["Docker-Content-Digest"]


def pushed(repository, tag, extra="", **more):
    name = f"push {repository}:{tag}"
    if more:
        name += f" ({', '.join(f'{k} {v}' for k, v in more.items() if k != 'password')})"
    return {
        "name": name,
        "do": lambda run: push(
            run, run.variables["reg"], repository, tag, extra, **{k: run.text(v) if isinstance(v, str) else v for k, v in more.items()}
        ),
    }


def refused(command, *says, note="comes later; the answer names what is missing"):
    return {"az": command, "exit": 1, "says": list(says), "note": note}


SIGN_IN = [
    {"az": "login -u {admin} -p {password}", "vital": True, "expect": {"[0].user.name": "{admin}", "[0].state": "Enabled"}},
    {"az": "account show", "save": {"sub": "id", "tenant": "tenantId"}, "expect": {"user.type": "user"}},
    {"az": "account list", "expect": {"length(@)": at_least(1)}},
    {"az": "account list --all --refresh", "expect": {"length(@)": at_least(1)}},
    {"az": "account set -s {sub}"},
    {"az": "account get-access-token", "expect": {"tokenType": "Bearer"}},
    {"az": "account get-access-token --resource https://containerregistry.azure.net", "expect": {"tokenType": "Bearer"}},
    {"az": "account list-locations", "expect": {"[].name": has("eastus")}},
    {"az": "account tenant list", "expect": {"length(@)": at_least(1)}, "note": "an extension in some releases of az"},
    {"az": "ad signed-in-user show", "expect": {"userPrincipalName": "{admin}"}, "save": {"admin_id": "id"}},
]
# `account tenant` is an extension: az would fetch it from the internet.
SIGN_IN = [step for step in SIGN_IN if "account tenant" not in step["az"]]

GROUPS = [
    {"az": "group create -n {rg} -l eastus", "vital": True, "expect": {"properties.provisioningState": "Succeeded"}},
    {"az": "group create -n {rg} -l eastus --tags a=b", "expect": {"tags.a": "b"}},
    {"az": "group show -n {rg}", "expect": {"name": "{rg}"}},
    {"az": "group show -n nosuchgroup", "exit": 3, "says": ["nosuchgroup"]},
    {"az": "group exists -n {rg}", "expect": {"@": True}},
    {"az": "group list", "expect": {"[].name": has("looprg")}},
    {"az": "group update -n {rg} --set tags.c=d", "expect": {"tags.c": "d"}},
    {"az": "provider show -n Microsoft.ContainerRegistry", "expect": {"registrationState": "Registered"}},
    {"az": "provider register -n Microsoft.ContainerRegistry"},
    {"az": "provider list", "expect": {"[].namespace": has("Microsoft.ContainerRegistry")}},
]

REGISTRIES = [
    {"az": "acr check-name -n {reg}", "expect": {"nameAvailable": True}},
    {"az": "acr create -n {reg} -g {rg} --sku Premium --admin-enabled true", "vital": True, "expect": {"provisioningState": "Succeeded", "sku.name": "Premium"}, "save": {"rid": "id", "ls": "loginServer"}},
    {"az": "acr check-name -n {reg}", "expect": {"nameAvailable": False, "reason": "AlreadyExists"}},
    {"az": "acr check-name -n ab", "expect": {"nameAvailable": False, "reason": "Invalid"}},
    {"az": "acr create -n {reg2} -g {rg} --sku Basic", "expect": {"sku.name": "Basic", "adminUserEnabled": False}},
    {"az": "acr create -n abc -g {rg} --sku Basic", "exit": 1, "says": ["5"]},
    {"az": "acr show -n {reg}", "expect": {"name": "{reg}", "anonymousPullEnabled": False, "policies.exportPolicy.status": "enabled"}},
    {"az": "acr show -n {reg} -g {rg} --query loginServer -o tsv", "expect": {"@": "{ls}"}},
    {"az": "acr show -n nosuchreg1 -g {rg}", "exit": 3, "says": ["nosuchreg1"]},
    {"az": "acr list", "expect": {"[].name": has("loopreg", "loopregtwo")}},
    {"az": "acr list -g {rg}", "expect": {"length(@)": 2}},
    {"az": "acr update -n {reg} --tags a=b", "expect": {"tags.a": "b"}},
    {"az": "acr update -n {reg2} --sku Standard", "expect": {"sku.name": "Standard"}},
    {"az": "acr update -n {reg2} --anonymous-pull-enabled true", "expect": {"anonymousPullEnabled": True}},
    {"az": "acr update -n {reg2} --anonymous-pull-enabled false", "expect": {"anonymousPullEnabled": False}},
    {"az": "acr update -n {reg2} --admin-enabled true", "expect": {"adminUserEnabled": True}},
    {"az": "acr show-usage -n {reg}", "expect": {"value[].name": has("Size", "ScopeMaps", "Tokens")}},
    {"az": "acr show-endpoints -n {reg}", "expect": {"loginServer": "{ls}"}},
    {"az": "acr credential show -n {reg}", "expect": {"username": "{reg}", "length(passwords)": 2}, "save": {"pw": "passwords[0].value", "pw2": "passwords[1].value"}},
    {"az": "acr credential renew -n {reg} --password-name password2", "expect": {"passwords[0].value": "{pw}", "passwords[1].value": is_set}},
    {"az": "acr credential show -n {reg2}", "expect": {"username": "{reg2}"}},
    {"az": "acr config authentication-as-arm show -r {reg}", "expect": {"status": "enabled"}},
    {"az": "acr config authentication-as-arm update -r {reg} --status disabled", "expect": {"status": "disabled"}},
    {"az": "acr config authentication-as-arm update -r {reg} --status enabled", "expect": {"status": "enabled"}},
    {"az": "acr config content-trust show -r {reg}", "expect": {"status": "disabled"}},
    {"az": "acr config content-trust update -r {reg} --status disabled -y"},
    {"az": "acr config retention show -r {reg}", "expect": {"status": "disabled"}},
    {"az": "acr config soft-delete show -r {reg}", "expect": {"status": "disabled"}},
    {"az": "acr network-rule list -n {reg}", "expect": {"length(ipRules)": 0}},
    {"az": "acr identity show -n {reg}"},
    {"az": "acr encryption show -n {reg}"},
    {"az": "acr private-endpoint-connection list -r {reg}", "expect": {"length(@)": 0}},
    {"az": "resource list --resource-type Microsoft.ContainerRegistry/registries", "expect": {"[].name": has("loopreg")}},
    {"az": "resource show --ids {rid}", "expect": {"name": "{reg}"}},
    {"az": "resource list -g {rg}", "expect": {"length(@)": 2}},
    {"az": "rest --method get --url {rid}?api-version=2025-11-01", "expect": {"properties.loginServer": "{ls}"}},
    {"az": "rest --method get --url /subscriptions/{sub}/providers/Microsoft.ContainerRegistry/registries?api-version=2019-05-01", "expect": {"length(value)": at_least(2)}, "note": "any api-version"},
    {"az": "lock create -n keep --lock-type CanNotDelete --resource-group {rg}"},
    {"az": "lock list -g {rg}", "expect": {"[].name": ["keep"]}},
    {"az": "acr delete -n {reg2} -y", "exit": 1, "says": ["lock"]},
    {"az": "lock delete -n keep -g {rg}"},
]

SCOPE_MAPS = [
    {"az": "acr scope-map create -r {reg} -n sm1 --repository hello content/read metadata/read", "expect": {"name": "sm1", "length(actions)": 2}},
    {"az": "acr scope-map list -r {reg}", "expect": {"[].name": has("sm1", "_repositories_pull", "_repositories_push", "_repositories_admin")}},
    {"az": "acr scope-map show -r {reg} -n sm1", "expect": {"actions": has("repositories/hello/content/read")}},
    {"az": "acr scope-map update -r {reg} -n sm1 --add-repository other content/read --description changed", "expect": {"length(actions)": 3, "description": "changed"}},
    {"az": "acr scope-map update -r {reg} -n sm1 --remove-repository other content/read", "expect": {"length(actions)": 2}},
    {"az": "acr scope-map create -r {reg} -n bad --repository hello content/nothing", "exit": 1, "note": "az refuses the word itself"},
    {"az": "acr token create -r {reg} -n tok1 --scope-map sm1", "expect": {"name": "tok1", "length(credentials.passwords)": 2}, "save": {"tokpw": "credentials.passwords[0].value"}},
    {"az": "acr token create -r {reg} -n tok2 --repository hello content/write content/read --no-passwords", "expect": {"name": "tok2"}},
    {"az": "acr token list -r {reg}", "expect": {"[].name": has("tok1", "tok2")}},
    {"az": "acr token show -r {reg} -n tok1", "expect": {"status": "enabled", "length(credentials.passwords)": 2}},
    {"az": "acr token credential generate -r {reg} -n tok2 --password1 --expiration-in-days 30", "expect": {"username": "tok2", "passwords[0].expiry": is_set}, "save": {"tok2pw": "passwords[0].value"}},
    pushed("hello", "tok", user="tok2", password="{tok2pw}"),
    pushed("hello", "tokno", user="tok1", password="{tokpw}", expect=403),
    pushed("other", "tokno", user="tok2", password="{tok2pw}", expect=403),
    {"az": "acr repository show-tags -n {reg} --repository hello -u tok1 -p {tokpw}", "expect": {"@": ["tok"]}},
    {"az": "acr token credential delete -r {reg} -n tok1 --password2", "expect": {"length(credentials.passwords)": 1}},
    {"az": "acr token update -r {reg} -n tok2 --status disabled", "expect": {"status": "disabled"}},
    pushed("hello", "tokoff", user="tok2", password="{tok2pw}", expect=401),
    {"az": "acr token update -r {reg} -n tok2 --status enabled", "expect": {"status": "enabled"}},
    {"az": "acr token update -r {reg} -n tok2 --scope-map _repositories_pull", "expect": {"name": "tok2"}},
    {"az": "acr token delete -r {reg} -n tok2 -y"},
    {"az": "acr scope-map delete -r {reg} -n tok2-scope-map -y"},
    {"az": "acr scope-map delete -r {reg} -n _repositories_pull -y", "exit": 1},
]

DATA = [
    {"az": "acr login -n {reg} --expose-token", "vital": True, "expect": {"loginServer": "{ls}", "username": ZERO}, "save": {"rt": "refreshToken"}},
    pushed("hello", "v1"),
    pushed("hello", "v2", "2"),
    pushed("team/app", "v1", "3"),
    {"az": "acr repository list -n {reg}", "expect": {"@": ["hello", "team/app"]}},
    {"az": "acr repository list -n {reg} --top 1", "expect": {"@": ["hello"]}},
    {"az": "acr repository list -n {reg} -u {reg} -p {pw}", "expect": {"@": ["hello", "team/app"]}},
    {"az": "acr repository list -n {reg} -u {reg} -p wrong-password", "exit": 1},
    {"az": "acr repository show -n {reg} --repository hello", "expect": {"imageName": "hello", "registry": "{ls}", "tagCount": 3, "changeableAttributes.deleteEnabled": True}},
    {"az": "acr repository show -n {reg} --image hello:v1", "expect": {"name": "v1"}, "save": {"d1": "digest"}},
    {"az": "acr repository show -n {reg} --image hello@{d1}", "expect": {"digest": "{d1}", "architecture": "amd64", "os": "linux"}},
    {"az": "acr repository show -n {reg} --repository nosuch", "exit": 3, "says": ["not known"]},
    {"az": "acr repository show-tags -n {reg} --repository hello", "expect": {"@": ["tok", "v1", "v2"]}},
    {"az": "acr repository show-tags -n {reg} --repository hello --orderby time_desc --detail", "expect": {"[0].name": "v2", "length(@)": 3}},
    {"az": "acr repository show-tags -n {reg} --repository hello --orderby time_asc --top 1", "expect": {"@": ["tok"]}},
    {"az": "acr repository show-manifests -n {reg} --repository hello", "expect": {"length(@)": at_least(2)}},
    {"az": "acr repository update -n {reg} --image hello:v1 --write-enabled false", "expect": {"changeableAttributes.writeEnabled": False}},
    {"az": "acr repository untag -n {reg} --image hello:v1", "exit": 1},
    {"az": "acr repository update -n {reg} --image hello:v1 --write-enabled true", "expect": {"changeableAttributes.writeEnabled": True}},
    {"az": "acr repository update -n {reg} --repository hello --delete-enabled false", "expect": {"changeableAttributes.deleteEnabled": False}},
    {"az": "acr repository delete -n {reg} --repository hello -y", "exit": 1},
    {"az": "acr repository update -n {reg} --repository hello --delete-enabled true", "expect": {"changeableAttributes.deleteEnabled": True}},
    {"az": "acr repository update -n {reg} --repository team/app --list-enabled false", "expect": {"changeableAttributes.listEnabled": False}},
    {"az": "acr repository list -n {reg}", "expect": {"@": ["hello"]}, "note": "a repository that is not to be listed is not"},
    {"az": "acr repository update -n {reg} --repository team/app --list-enabled true"},
    {"az": "acr manifest list-metadata -r {reg} -n hello", "expect": {"length(@)": at_least(2)}},
    {"az": "acr manifest list-metadata -r {reg} -n hello --orderby time_desc", "expect": {"[0].tags": ["v2"]}},
    {"az": "acr manifest show-metadata -r {reg} -n hello:v1", "expect": {"digest": "{d1}"}},
    {"az": "acr manifest update-metadata -r {reg} -n hello:v1 --read-enabled true", "expect": {"changeableAttributes.readEnabled": True}},
    {"az": "acr manifest list -r {reg} -n hello", "expect": {"length(@)": at_least(2)}},
    {"az": "acr manifest show -r {reg} -n hello:v1", "expect": {"schemaVersion": 2}},
    {"az": "acr manifest show -r {reg} -n hello@{d1} --raw"},
    {"az": "acr manifest list-referrers -r {reg} -n hello:v1", "expect": {"length(manifests)": 0}},
    {"az": "acr repository untag -n {reg} --image hello:v2"},
    {"az": "acr repository show-tags -n {reg} --repository hello", "expect": {"@": ["tok", "v1"]}},
    {"az": "acr manifest delete -r {reg} -n team/app:v1 -y"},
    {"az": "acr repository list -n {reg}", "expect": {"@": ["hello"]}, "note": "with its last manifest a repository is gone"},
    {"az": "acr repository list-deleted -n {reg}", "expect": {"length(@ || `[]`)": 0}},
    {"az": "acr manifest list-deleted -r {reg} -n hello", "expect": {"length(@ || `[]`)": 0}},
    {"az": "acr manifest list-deleted-tags -r {reg} -n hello", "expect": {"length(@ || `[]`)": 0}},
    {"az": "acr check-health -n {reg} -y --ignore-errors"},
]

DIRECTORY = [
    {"az": "ad user create --display-name Bea --user-principal-name bea@{domain} --password {other}", "save": {"bea": "id"}},
    {"az": "ad user show --id bea@{domain}", "expect": {"displayName": "Bea"}},
    {"az": "ad user list", "expect": {"length(@)": at_least(2)}},
    {"az": "ad user list --filter \"startswith(displayName,'Be')\"", "expect": {"length(@)": 1}},
    {"az": "ad user update --id bea@{domain} --display-name Beatrix"},
    {"az": "ad group create --display-name devs --mail-nickname devs", "save": {"devs": "id"}},
    {"az": "ad group list", "expect": {"[].displayName": has("devs")}},
    {"az": "ad group show -g devs", "expect": {"id": "{devs}"}},
    {"az": "ad group member add -g devs --member-id {bea}"},
    {"az": "ad group member list -g devs", "expect": {"[].id": ["{bea}"]}},
    {"az": "ad group member check -g devs --member-id {bea}", "expect": {"value": True}},
    {"az": "ad sp create-for-rbac -n builder --role AcrPush --scopes {rid}", "save": {"app": "appId", "secret": "password"}, "expect": {"tenant": "{tenant}"}},
    {"az": "ad sp show --id {app}", "expect": {"appId": "{app}"}, "save": {"sp": "id"}},
    {"az": "ad sp list --display-name builder", "expect": {"length(@)": 1}},
    {"az": "ad app show --id {app}", "expect": {"appId": "{app}"}},
    {"az": "ad app list --display-name builder", "expect": {"length(@)": 1}},
    {"az": "ad app credential list --id {app}", "expect": {"length(@)": 1}},
    {"az": "ad app credential reset --id {app} --append", "save": {"secret2": "password"}},
    {"az": "ad app federated-credential create --id {app} --parameters '{\"name\":\"ci-main\",\"issuer\":\"https://issuer.example\",\"subject\":\"repo:a/b\",\"audiences\":[\"api://AzureADTokenExchange\"]}'", "expect": {"name": "ci-main"}},
    {"az": "ad app federated-credential list --id {app}", "expect": {"length(@)": 1}},
    {"az": "ad app federated-credential delete --id {app} --federated-credential-id ci-main"},
    {"az": "identity create -n id1 -g {rg} -l eastus", "expect": {"name": "id1", "principalId": is_set, "clientId": is_set}},
    {"az": "identity show -n id1 -g {rg}", "expect": {"name": "id1"}},
    {"az": "identity list -g {rg}", "expect": {"length(@)": 1}},
    {"az": "identity delete -n id1 -g {rg}"},
]

ROLES = [
    {"az": "role definition list --name AcrPull", "expect": {"[0].name": "7f951dda-4ed3-4680-a7ca-43fe172d538d"}},
    {"az": "role definition list --custom-role-only true", "expect": {"length(@)": 0}},
    {"az": "role assignment create --assignee-object-id {sp} --assignee-principal-type ServicePrincipal --role Reader --scope {rid}", "note": "who may only pull or push does not see the resource, so az takes the login server by name"},
    {"az": "role assignment create --assignee bea@{domain} --role AcrPull --scope {rid}", "save": {"ra": "name"}},
    {"az": "role assignment list --scope {rid}", "expect": {"[].roleDefinitionName": has("AcrPull", "AcrPush", "Reader")}},
    {"az": "role assignment list --assignee bea@{domain} --all", "expect": {"length(@)": 1, "[0].principalName": "bea@{domain}"}},
    {"az": "role assignment list --scope {rid} --include-inherited", "expect": {"[].roleDefinitionName": has("Owner")}},
    {"az": "role assignment delete --assignee bea@{domain} --role AcrPull --scope {rid}"},
    {"az": "role assignment list --assignee bea@{domain} --all", "expect": {"length(@)": 0}},
    {"az": "role definition create --role-definition '{\"Name\":\"Tag Reader\",\"Description\":\"reads\",\"Actions\":[\"Microsoft.ContainerRegistry/registries/read\"],\"AssignableScopes\":[\"/subscriptions/{sub}\"]}'", "expect": {"roleName": "Tag Reader"}, "save": {"role": "name"}},
    {"az": "role definition update --role-definition '{\"Name\":\"Tag Reader\",\"Description\":\"reads more\",\"Actions\":[\"Microsoft.ContainerRegistry/registries/read\",\"Microsoft.ContainerRegistry/registries/pull/read\"],\"AssignableScopes\":[\"/subscriptions/{sub}\"]}'", "expect": {"description": "reads more"}},
    {"az": "role assignment create --assignee-object-id {devs} --assignee-principal-type Group --role 'Tag Reader' --scope {rid}"},
    {"az": "role definition delete --name 'Tag Reader'", "exit": 1, "note": "while it is assigned"},
    {"az": "role assignment delete --assignee-object-id {devs} --role 'Tag Reader' --scope {rid}"},
    {"az": "role definition delete --name 'Tag Reader'"},
]

# A user who may pull one repository only: data actions with a condition.
CONDITION = (
    "((!(ActionMatches{{'Microsoft.ContainerRegistry/registries/repositories/content/read'}})"
    " AND !(ActionMatches{{'Microsoft.ContainerRegistry/registries/repositories/metadata/read'}}))"
    " OR (@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringEqualsIgnoreCase 'hello'))"
).replace("{{", "{").replace("}}", "}")

CONDITIONS = [
    {"az": "acr update -n {reg} --role-assignment-mode rbac-abac", "expect": {"roleAssignmentMode": "AbacRepositoryPermissions"}},
    {"az": f'role assignment create --assignee bea@{{domain}} --role "Container Registry Repository Reader" --scope {{rid}} --condition "{CONDITION}" --condition-version 2.0', "expect": {"conditionVersion": "2.0"}},
    {"az": 'role assignment create --assignee bea@{domain} --role "Container Registry Repository Reader" --scope {rid} --condition "@Request[" --condition-version 2.0', "exit": 1},
    {"az": 'role assignment create --assignee {admin} --role "Container Registry Repository Contributor" --scope {rid}'},
    {"az": 'role assignment create --assignee {admin} --role "Container Registry Repository Catalog Lister" --scope {rid}'},
    pushed("hello", "v5", "5"),
    pushed("private", "v1", "6"),
    {"az": "login -u bea@{domain} -p {other}", "expect": {"[0].user.name": "bea@{domain}"}},
    {"az": "acr repository show-tags -n {reg} --suffix ignored --repository hello", "exit": 1, "note": "bea may not read the resource: az does not find it by name"},
]


def bea_reads(run):
    """Bea's own sign-in at the registry: hello may be read, private may not, nothing may be written."""
    http = session()
    server = run.variables["ls"]

    def token(scope):
        form = {
            "grant_type": "password",
            "service": server,
            "scope": scope,
            "username": run.text("bea@{domain}"),
            "password": run.variables["other"],
        }
        answer = http.post(f"https://{server}/oauth2/token", data=form)
        if answer.status_code != 200:
            raise Failed(f"token: {answer.status_code} {answer.text[:300]}")
        return {"Authorization": "Bearer " + answer.json()["access_token"]}

    for repository, status in (("hello", 200), ("private", 401)):
        scope = f"repository:{repository}:pull,push"
        tag = "v5" if repository == "hello" else "v1"
        answer = http.get(f"https://{server}/v2/{repository}/manifests/{tag}", headers=token(scope))
        if answer.status_code not in ((status,) if status == 200 else (401, 403)):
            raise Failed(f"{repository}: {answer.status_code} {answer.text[:300]}")
        answer = http.post(f"https://{server}/v2/{repository}/blobs/uploads/", headers=token(scope))
        if answer.status_code not in (401, 403):
            raise Failed(f"push to {repository}: {answer.status_code}")
    answer = http.get(f"https://{server}/v2/_catalog", headers=token("registry:catalog:*"))
    if answer.status_code == 200 and "private" in answer.json()["repositories"]:
        raise Failed(f"the catalog tells bea of private: {answer.text[:300]}")


CONDITIONS = CONDITIONS[:-1] + [
    {"name": "a user with a condition reads one repository only", "do": bea_reads},
    {"az": "acr list", "expect": {"length(@)": 0}, "note": "what one may not read is not listed"},
    {"az": "group create -n stolen -l eastus", "exit": 1, "says": ["AuthorizationFailed"]},
    {"az": "login -u {admin} -p {password}"},
    {"az": "acr update -n {reg} --role-assignment-mode rbac", "expect": {"roleAssignmentMode": "LegacyRegistryPermissions"}},
]

PRINCIPALS = [
    {"az": "login --service-principal -u {app} -p {secret} --tenant {tenant}", "expect": {"[0].user.type": "servicePrincipal"}},
    {"az": "acr login -n {reg} --expose-token", "expect": {"loginServer": "{ls}"}},
    pushed("hello", "v9", "9"),
    {"az": "acr repository delete -n {reg} --repository hello -y", "exit": 1, "note": "AcrPush may not delete"},
    {"az": "acr delete -n {reg} -y", "exit": 1, "says": ["AuthorizationFailed"]},
    {"az": "logout"},
    {"az": "login --service-principal -u {app} -p not-the-secret --tenant {tenant}", "exit": 1, "says": ["AADSTS7000215"]},
    {"az": "login -u {admin} -p wrong-password-1", "exit": 1, "says": ["AADSTS50126"]},
    {"az": "login -u nobody@{domain} -p wrong-password-1", "exit": 1, "says": ["AADSTS50126"], "note": "an unknown name is answered as a wrong password"},
    {"az": "login -u {admin} -p {password}", "vital": True},
]

LATER = [
    {"az": "acr webhook list -r {reg}", "expect": {"length(@)": 0}},
    {"az": "acr replication list -r {reg}", "expect": {"length(@)": 0}},
    {"az": "acr cache list -r {reg}", "expect": {"length(@)": 0}},
    {"az": "acr credential-set list -r {reg}", "expect": {"length(@)": 0}},
    {"az": "acr connected-registry list -r {reg}", "expect": {"length(@)": 0}},
    {"az": "acr task list -r {reg}", "expect": {"length(@)": 0}},
    {"az": "acr taskrun list -r {reg}", "expect": {"length(@)": 0}},
    {"az": "acr agentpool list -r {reg}", "expect": {"length(@)": 0}},
    refused("acr webhook create -r {reg} -n hook1 --uri http://127.0.0.1:9/hook --actions push", "webhook"),
    refused("acr replication create -r {reg} -l westus", "replication"),
    refused("acr cache create -r {reg} -n rule1 -s upstream.example/library/ubuntu -t ubuntu", "cache"),
    refused("acr config retention update -r {reg} --status enabled --days 30 --type UntaggedManifests", "retention"),
    refused("acr config soft-delete update -r {reg} --status enabled --days 10 -y", "soft"),
    refused("acr network-rule add -n {reg} --ip-address 1.2.3.0/24", "network"),
    refused("acr update -n {reg} --data-endpoint-enabled true", "dataEndpointEnabled"),
    refused("acr import -n {reg} --source {reg}.example/hello:v1 -t hello:copy", "mport"),
]

CLEAN_UP = [
    {"az": "ad sp delete --id {app}"},
    {"az": "ad app delete --id {app}"},
    {"az": "ad group member remove -g devs --member-id {bea}"},
    {"az": "ad group delete -g devs"},
    {"az": "ad user delete --id bea@{domain}"},
    {"az": "acr repository delete -n {reg} --image hello:v1 -y"},
    {"az": "acr repository delete -n {reg} --repository hello -y"},
    {"az": "acr delete -n {reg} -y"},
    {"az": "acr show -n {reg} -g {rg}", "exit": 3, "says": ["{reg}"]},
    {"az": "acr delete -n {reg2} -y"},
    {"az": "group delete -n {rg} -y"},
    {"az": "group exists -n {rg}", "expect": {"@": False}},
    {"az": "logout"},
    {"az": "account clear"},
]

PROGRAM = [
    {"az": "login --service-principal -u {program} -p {program_secret} --tenant {tenant}", "vital": True, "expect": {"[0].user.type": "servicePrincipal"}},
    {"az": "account show", "save": {"sub": "id"}, "expect": {"tenantId": "{tenant}"}},
    {"az": "account get-access-token", "expect": {"tenant": "{tenant}"}},
    {"az": "account list-locations", "expect": {"[].name": has("eastus")}},
]

PROGRAM_ENDS = [step for step in CLEAN_UP if not step["az"].startswith("ad ")]

# A cloud by hand, as for a server whose metadata az did not get from its environment.
CLOUD = [
    {"az": "cloud register -n Local --endpoint-resource-manager {arm}"},
    {"az": "cloud set -n Local"},
    {"az": "cloud show -n Local", "expect": {"endpoints.resourceManager": "{arm}"}},
    {"az": "cloud list", "expect": {"[].name": has("Local")}},
]

SECTIONS = {
    "sign-in": SIGN_IN,
    "groups": GROUPS,
    "registries": REGISTRIES,
    "scope maps and tokens": SCOPE_MAPS,
    "data": DATA,
    "directory": DIRECTORY,
    "roles": ROLES,
    "conditions": CONDITIONS,
    "principals": PRINCIPALS,
    "what comes later": LATER,
    "clean up": CLEAN_UP,
    "cloud": CLOUD,
    "a program signs in": PROGRAM,
    "clean up as a program": PROGRAM_ENDS,
}
