#!/usr/bin/env bash
# loopback.sh - drive the UNMODIFIED Azure CLI against an ACR-compatible server on loopback.
#
# Everything below uses documented configuration only: a custom cloud (az cloud register), a config
# switch (core.instance_discovery, or an .../adfs authority which needs no switch), REQUESTS_CA_BUNDLE
# and, in proxy mode, HTTPS_PROXY. Nothing in the CLI is patched.
#
# Needs on PATH: az, bash, curl, sha256sum, awk (docker is optional and not used).
#
# Environment (defaults in brackets):
#   ACR_ARM         ARM endpoint URL, no trailing slash           [https://localhost:8443]
#   ACR_CA          PEM bundle holding the CA of the server       (required)
#   ACR_PROXY       http://127.0.0.1:PORT of the server's CONNECT proxy; empty = direct   []
#   ACR_AUTHORITY   entra | adfs                                  [entra]
#   ACR_TENANT      tenant GUID or domain                         [11111111-1111-1111-1111-111111111111]
#   ACR_CLIENT_ID / ACR_CLIENT_SECRET   service principal         [4444.../s3cret]
#   ACR_USER / ACR_PASSWORD             optional: also tries user/password login
#   ACR_DEVICE=1                        optional: also tries device-code login (server must approve it)
#   ACR_NAME / ACR_RG / ACR_LOC         names to use              [loopreg / looprg / eastus]
#   ACR_SUFFIX      login-server suffix, only used when the server's metadata document gives none
#   AZ              the CLI to run                                [az]
#   KEEP=1          keep the scratch AZURE_CONFIG_DIR and the registry
set -u

AZ=${AZ:-az}
ARM=${ACR_ARM:-https://localhost:8443}
: "${ACR_CA:?set ACR_CA to a PEM file with the CA certificate of the server}"
TENANT=${ACR_TENANT:-11111111-1111-1111-1111-111111111111}
SP=${ACR_CLIENT_ID:-44444444-4444-4444-4444-444444444444}
SECRET=${ACR_CLIENT_SECRET:-s3cret}
REG=${ACR_NAME:-loopreg}
RG=${ACR_RG:-looprg}
LOC=${ACR_LOC:-eastus}
CLOUD=Loopback

# One scratch profile per run: clouds, token cache and MSAL's 24-hour discovery cache all live in it.
AZURE_CONFIG_DIR=$(mktemp -d); export AZURE_CONFIG_DIR
WORK=$(mktemp -d)
export REQUESTS_CA_BUNDLE=$ACR_CA CURL_CA_BUNDLE=$ACR_CA   # MSAL, ARM, blob and registry calls all honour it
export AZURE_CORE_COLLECT_TELEMETRY=no AZURE_CORE_ONLY_SHOW_ERRORS=true AZURE_CORE_LOGIN_EXPERIENCE_V2=off
unset HTTP_PROXY http_proxy HTTPS_PROXY https_proxy ALL_PROXY all_proxy 2>/dev/null || true
if [ -n "${ACR_PROXY:-}" ]; then export HTTPS_PROXY=$ACR_PROXY https_proxy=$ACR_PROXY; fi

PASS=0; FAIL=0; FAILED=()
step() {                       # step NAME CMD... : run, count, keep going
  local name=$1; shift
  if "$@" >"$WORK/out" 2>"$WORK/err" </dev/null; then
    PASS=$((PASS + 1)); printf 'ok    %s\n' "$name"
  else
    FAIL=$((FAIL + 1)); FAILED+=("$name"); printf 'FAIL  %s\n' "$name"
    tail -n 3 "$WORK/err" | cut -c1-300 | sed 's/^/      /'
  fi
}
must() { "$@" >"$WORK/out" 2>"$WORK/err" </dev/null || { echo "cannot continue: $*"; tail -n 3 "$WORK/err"; exit 1; }; }
az_() { "$AZ" "$@"; }

echo "== 1. cloud"
reg_args=(cloud register -n $CLOUD --endpoint-resource-manager "$ARM")
if [ "${ACR_AUTHORITY:-entra}" = adfs ]; then
  # An authority path ending in /adfs makes MSAL skip instance discovery AND the port-dropping user-realm call.
  reg_args+=(--endpoint-active-directory "${ACR_LOGIN:-$ARM}/adfs")
else
  # A non-Microsoft authority host is only accepted with instance discovery off.
  must az_ config set core.instance_discovery=false
fi
must az_ "${reg_args[@]}"          # discovers the rest from $ARM/metadata/endpoints?api-version=2022-09-01
must az_ cloud set -n $CLOUD
sfx=$(az_ cloud show -n $CLOUD --query suffixes.acrLoginServerEndpoint -o tsv 2>/dev/null)
if [ -z "$sfx" ]; then must az_ cloud update -n $CLOUD --suffix-acr-login-server-endpoint "${ACR_SUFFIX:-.azurecr.test}"; fi
echo "   login-server suffix: ${sfx:-${ACR_SUFFIX:-.azurecr.test}}"

echo "== 2. login"
if [ -n "${ACR_USER:-}" ]; then
  # With an entra-style authority on a port other than 443, MSAL asks https://HOST/common/userrealm/... on 443;
  # use ACR_AUTHORITY=adfs, the proxy, or listen on 443 as well.
  step 'login --username --password' az_ login -u "$ACR_USER" -p "$ACR_PASSWORD"
fi
if [ -n "${ACR_DEVICE:-}" ]; then step 'login --use-device-code' az_ login --use-device-code; fi
must az_ login --service-principal -u "$SP" -p "$SECRET" --tenant "$TENANT"
step 'account show' az_ account show
step 'account get-access-token' az_ account get-access-token
step 'account get-access-token (registry audience)' az_ account get-access-token --resource https://containerregistry.azure.net
step 'account list-locations' az_ account list-locations

echo "== 3. management plane"
step 'group create' az_ group create -n "$RG" -l "$LOC"
step 'acr check-name' az_ acr check-name -n "$REG"
must az_ acr create -n "$REG" -g "$RG" --sku Premium --admin-enabled true
step 'acr create (Basic)' az_ acr create -n "${REG}two" -g "$RG" --sku Basic
step 'acr show' az_ acr show -n "$REG"
step 'acr list' az_ acr list
step 'acr update' az_ acr update -n "$REG" --tags a=b
step 'acr show-usage' az_ acr show-usage -n "$REG"
step 'acr show-endpoints' az_ acr show-endpoints -n "$REG"
step 'acr credential show' az_ acr credential show -n "$REG"
step 'acr credential renew' az_ acr credential renew -n "$REG" --password-name password2
step 'acr scope-map create' az_ acr scope-map create -r "$REG" -n sm1 --repository hello content/read metadata/read
step 'acr scope-map list' az_ acr scope-map list -r "$REG"
step 'acr token create' az_ acr token create -r "$REG" -n tok1 --scope-map sm1
step 'acr token list' az_ acr token list -r "$REG"
step 'acr token credential generate' az_ acr token credential generate -r "$REG" -n tok1 --password1 --expiration-in-days 30
step 'acr webhook create' az_ acr webhook create -r "$REG" -n hook1 --uri http://127.0.0.1:9/hook --actions push delete
step 'acr webhook ping' az_ acr webhook ping -r "$REG" -n hook1
step 'acr webhook list-events' az_ acr webhook list-events -r "$REG" -n hook1
step 'acr webhook delete' az_ acr webhook delete -r "$REG" -n hook1
step 'acr replication create' az_ acr replication create -r "$REG" -l westus
step 'acr replication list' az_ acr replication list -r "$REG"
step 'acr replication delete' az_ acr replication delete -r "$REG" -n westus
step 'acr config retention update' az_ acr config retention update -r "$REG" --status enabled --days 30 --type UntaggedManifests
step 'acr config soft-delete update' az_ acr config soft-delete update -r "$REG" --status enabled --days 10 -y
step 'acr config content-trust update' az_ acr config content-trust update -r "$REG" --status disabled -y
step 'acr config authentication-as-arm' az_ acr config authentication-as-arm update -r "$REG" --status enabled
step 'acr network-rule add' az_ acr network-rule add -n "$REG" --ip-address 1.2.3.0/24
step 'acr network-rule remove' az_ acr network-rule remove -n "$REG" --ip-address 1.2.3.0/24
step 'acr cache create' az_ acr cache create -r "$REG" -n rule1 -s upstream.example/library/ubuntu -t ubuntu
step 'acr cache delete' az_ acr cache delete -r "$REG" -n rule1 -y
RID=$(az_ acr show -n "$REG" --query id -o tsv 2>/dev/null)
OID=${ACR_OBJECT_ID:-33333333-3333-3333-3333-333333333333}
step 'role assignment create (no Graph)' az_ role assignment create --assignee-object-id "$OID" --assignee-principal-type ServicePrincipal --role AcrPull --scope "$RID"
step 'role assignment create (Graph)' az_ role assignment create --assignee "$SP" --role AcrPush --scope "$RID"
step 'role assignment list' az_ role assignment list --scope "$RID"

echo "== 4. data plane"
LS=$(az_ acr show -n "$REG" --query loginServer -o tsv 2>/dev/null)
RT=$(az_ acr login -n "$REG" --expose-token --query refreshToken -o tsv 2>/dev/null)
step 'acr login --expose-token' test -n "$RT"
push_tiny_image() {            # REPO TAG : push a one-blob OCI image with curl, the way a registry client would
  local repo=$1 tag=$2 at loc cfg='{}' cd md sep
  at=$(curl -fsS "https://$LS/oauth2/token" --data-urlencode grant_type=refresh_token --data-urlencode "service=$LS" \
        --data-urlencode "scope=repository:$repo:pull,push" --data-urlencode "refresh_token=$RT" |
        awk -F'"access_token"' '{split($2,a,"\""); print a[2]}') || return 1
  cd=sha256:$(printf %s "$cfg" | sha256sum | cut -d' ' -f1)
  loc=$(curl -fsS -D - -o /dev/null -X POST -H "Authorization: Bearer $at" -H 'Content-Length: 0' "https://$LS/v2/$repo/blobs/uploads/" |
        tr -d '\r' | awk 'tolower($1)=="location:"{print $2}')
  case $loc in http*) ;; *) loc=https://$LS$loc ;; esac
  case $loc in *\?*) sep='&' ;; *) sep='?' ;; esac
  curl -fsS -o /dev/null -X PUT -H "Authorization: Bearer $at" -H 'Content-Type: application/octet-stream' --data-binary "$cfg" "$loc${sep}digest=$cd" || return 1
  md='{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"'$cd'"},"layers":[]}'
  curl -fsS -o /dev/null -X PUT -H "Authorization: Bearer $at" -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary "$md" "https://$LS/v2/$repo/manifests/$tag"
}
step 'push hello:v1 (curl)' push_tiny_image hello v1
step 'push hello:v2 (curl)' push_tiny_image hello v2
step 'acr repository list' az_ acr repository list -n "$REG"
step 'acr repository show' az_ acr repository show -n "$REG" --repository hello
step 'acr repository show --image' az_ acr repository show -n "$REG" --image hello:v1
step 'acr repository show-tags' az_ acr repository show-tags -n "$REG" --repository hello --orderby time_desc --detail
step 'acr repository show-manifests' az_ acr repository show-manifests -n "$REG" --repository hello
step 'acr repository update' az_ acr repository update -n "$REG" --image hello:v1 --write-enabled true
step 'acr manifest list-metadata' az_ acr manifest list-metadata -r "$REG" -n hello
step 'acr manifest show' az_ acr manifest show -r "$REG" -n hello:v1
step 'acr manifest list-referrers' az_ acr manifest list-referrers -r "$REG" -n hello:v1
step 'acr repository untag' az_ acr repository untag -n "$REG" --image hello:v2
step 'acr import (from a sibling registry)' az_ acr import -n "$REG" --source hello:v1 -r "$REG" -t hello:copy --force
U=$(az_ acr credential show -n "$REG" --query username -o tsv 2>/dev/null); P=$(az_ acr credential show -n "$REG" --query 'passwords[0].value' -o tsv 2>/dev/null)
step 'acr repository list -u -p (admin)' az_ acr repository list -n "$REG" -u "$U" -p "$P"

echo "== 5. tasks"
mkdir -p "$WORK/ctx"; printf 'FROM scratch\nCOPY a /a\n' >"$WORK/ctx/Dockerfile"; echo hi >"$WORK/ctx/a"
step 'acr build (upload, schedule, stream log)' az_ acr build -r "$REG" -t built:v1 "$WORK/ctx"
step 'acr build --no-wait' az_ acr build -r "$REG" -t built:v2 "$WORK/ctx" --no-wait
step 'acr run --cmd' az_ acr run -r "$REG" --cmd "$LS/hello:v1" /dev/null
step 'acr task create' az_ acr task create -r "$REG" -n t1 --cmd "$LS/hello:v1" -c /dev/null --schedule '0 0 * * *'
step 'acr task run' az_ acr task run -r "$REG" -n t1
step 'acr task logs' az_ acr task logs -r "$REG"
step 'acr task list-runs' az_ acr task list-runs -r "$REG"
step 'acr task timer add' az_ acr task timer add -r "$REG" -n t1 --timer-name x1 --schedule '1 1 * * *'
step 'acr task timer remove' az_ acr task timer remove -r "$REG" -n t1 --timer-name x1
step 'acr task delete' az_ acr task delete -r "$REG" -n t1 -y
step 'acr taskrun list' az_ acr taskrun list -r "$REG"
step 'acr agentpool create' az_ acr agentpool create -r "$REG" -n pool1 --tier S1
step 'acr agentpool list' az_ acr agentpool list -r "$REG"
step 'acr check-health (exit status only)' az_ acr check-health -n "$REG" -y --ignore-errors

echo "== 6. clean up"
step 'acr repository delete' az_ acr repository delete -n "$REG" --repository hello -y
if [ -z "${KEEP:-}" ]; then
  step 'acr delete' az_ acr delete -n "$REG" -y
  step 'acr delete (Basic)' az_ acr delete -n "${REG}two" -y
  step 'group delete' az_ group delete -n "$RG" -y
  rm -rf "$AZURE_CONFIG_DIR"
else
  echo "   AZURE_CONFIG_DIR=$AZURE_CONFIG_DIR"
fi
rm -rf "$WORK"
echo "passed $PASS, failed $FAIL"
for f in "${FAILED[@]:-}"; do [ -n "$f" ] && echo "  failed: $f"; done
[ "$FAIL" = 0 ]
