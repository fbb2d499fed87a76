-- The first schema. Four tokens differ by engine: {i64}, {bytes}, {table}, {clustered} (see migrate.rs).
-- Times are microseconds since the Unix epoch. Digests are one algorithm byte and the raw hash.
-- hlc: hybrid logical clock (milliseconds << 16 | counter). Every row belongs to a registry, directly or by its repository.

CREATE TABLE settings (
  name TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) {clustered};

-- Whether writes are closed. Every push reads it, so it is not with the settings: nothing else is written here that a push
-- could collide with.
CREATE TABLE closings (
  name TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) {clustered};

CREATE TABLE registries (
  id {i64} NOT NULL PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  anonymous_pull {i64} NOT NULL,
  created_at {i64} NOT NULL
) {table};

-- A request's host name (lower case, without port) or ":port" that selects a registry.
CREATE TABLE registry_hosts (
  host TEXT NOT NULL PRIMARY KEY,
  registry_id {i64} NOT NULL REFERENCES registries (id)
) {clustered};

CREATE TABLE signing_keys (
  registry_id {i64} NOT NULL,
  kid TEXT NOT NULL,
  purpose TEXT NOT NULL,
  sealed {bytes} NOT NULL,
  created_at {i64} NOT NULL,
  retired_at {i64},
  PRIMARY KEY (registry_id, kid)
) {clustered};

-- kind 'admin': owner '', name 'password' or 'password2'. kind 'token': those of scope-map tokens. sealed: a generated password of
-- the admin user, encrypted under the master key, because the management plane shows it again.
CREATE TABLE credentials (
  registry_id {i64} NOT NULL,
  kind TEXT NOT NULL,
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  salt {bytes} NOT NULL,
  iterations {i64} NOT NULL,
  hash {bytes} NOT NULL,
  sealed {bytes},
  created_at {i64} NOT NULL,
  expires_at {i64},
  PRIMARY KEY (registry_id, kind, owner, name)
) {clustered};

-- A deleted repository's row is marked, and a new one takes over the name, with another id: manifests and tags of the old id
-- are removed in steps. Blobs belong to the holder, which stays: what was leased stays leased. floor: the clock of the
-- delete that came before; it is a version of every tag, and what happens here is later. restricted: 1 when there may be rows
-- of it in attributes.
CREATE TABLE repositories (
  id {i64} NOT NULL PRIMARY KEY,
  registry_id {i64} NOT NULL,
  name TEXT NOT NULL,
  holder {i64} NOT NULL,
  listed {i64} NOT NULL,
  floor {i64} NOT NULL,
  restricted {i64} NOT NULL DEFAULT 0,
  created_at {i64} NOT NULL,
  deleted_at {i64}
) {table};
CREATE UNIQUE INDEX repositories_by_name ON repositories (registry_id, name) WHERE deleted_at IS NULL;
CREATE INDEX repositories_by_holder ON repositories (holder);
CREATE INDEX repositories_deleted ON repositories (deleted_at) WHERE deleted_at IS NOT NULL;

-- One of location (a place in the blob store) and content (a small blob kept here) is set, unless the bytes were damaged
-- and put aside: then nobody is told of the blob until it is pushed again.
CREATE TABLE blobs (
  registry_id {i64} NOT NULL,
  digest {bytes} NOT NULL,
  size {i64} NOT NULL,
  location TEXT,
  content {bytes},
  created_at {i64} NOT NULL,
  leased_until {i64} NOT NULL,
  condemned_at {i64},
  PRIMARY KEY (registry_id, digest)
) {table};
CREATE INDEX blobs_condemned ON blobs (condemned_at) WHERE condemned_at IS NOT NULL;

-- A blob's membership of a repository, by its holder; the open metering interval of (repository, digest) begins at linked_at.
-- check_after: when garbage collection has to look at this row; NULL while there is nothing to check.
CREATE TABLE repository_blobs (
  repository_id {i64} NOT NULL,
  digest {bytes} NOT NULL,
  registry_id {i64} NOT NULL,
  size {i64} NOT NULL,
  linked_at {i64} NOT NULL,
  leased_until {i64} NOT NULL,
  check_after {i64},
  PRIMARY KEY (repository_id, digest)
) {clustered};
CREATE INDEX repository_blobs_by_digest ON repository_blobs (registry_id, digest);
CREATE INDEX repository_blobs_check ON repository_blobs (check_after) WHERE check_after IS NOT NULL;

-- Closed metering intervals.
CREATE TABLE blob_intervals (
  registry_id {i64} NOT NULL,
  repository_id {i64} NOT NULL,
  digest {bytes} NOT NULL,
  from_at {i64} NOT NULL,
  to_at {i64} NOT NULL,
  size {i64} NOT NULL,
  PRIMARY KEY (registry_id, repository_id, digest, from_at)
) {clustered};
CREATE INDEX blob_intervals_by_end ON blob_intervals (to_at);

-- Intervals that ended long ago, summed up by the day, later by the month. span: 1 day, 2 month; day: its first day since
-- 1970. The sums do not fit into 64 bits: decimal digits.
CREATE TABLE storage_sums (
  registry_id {i64} NOT NULL,
  span {i64} NOT NULL,
  day {i64} NOT NULL,
  repository_id {i64} NOT NULL,
  byte_microseconds TEXT NOT NULL,
  PRIMARY KEY (registry_id, span, day, repository_id)
) {clustered};

-- Transfers, counted per hour, later per day and per month. span: 0 hour, 1 day, 2 month; hour: its first hour since 1970.
CREATE TABLE transfers (
  registry_id {i64} NOT NULL,
  span {i64} NOT NULL,
  hour {i64} NOT NULL,
  repository TEXT NOT NULL,
  meter TEXT NOT NULL,
  events {i64} NOT NULL,
  bytes {i64} NOT NULL,
  PRIMARY KEY (registry_id, span, hour, repository, meter)
) {clustered};

-- architecture and os: of an image, as its configuration says.
CREATE TABLE manifests (
  repository_id {i64} NOT NULL,
  digest {bytes} NOT NULL,
  media_type TEXT NOT NULL,
  artifact_type TEXT,
  subject {bytes},
  annotations TEXT,
  config_media_type TEXT,
  architecture TEXT,
  os TEXT,
  size {i64} NOT NULL,
  image_size {i64} NOT NULL,
  body {bytes} NOT NULL,
  created_at {i64} NOT NULL,
  updated_at {i64} NOT NULL,
  PRIMARY KEY (repository_id, digest)
) {table};
CREATE INDEX manifests_by_update ON manifests (repository_id, updated_at, digest);
CREATE INDEX manifests_by_subject ON manifests (repository_id, subject, digest) WHERE subject IS NOT NULL;

-- Live dots: which put operations keep a manifest alive (add-wins set; at most one dot per origin).
CREATE TABLE manifest_dots (
  repository_id {i64} NOT NULL,
  digest {bytes} NOT NULL,
  origin {i64} NOT NULL,
  operation_id {bytes} NOT NULL,
  PRIMARY KEY (repository_id, digest, origin)
) {clustered};

-- kind: 0 config, 1 layer or blob, 2 manifest.
CREATE TABLE manifest_references (
  repository_id {i64} NOT NULL,
  manifest {bytes} NOT NULL,
  child {bytes} NOT NULL,
  kind {i64} NOT NULL,
  PRIMARY KEY (repository_id, manifest, child, kind)
) {clustered};
CREATE INDEX manifest_references_by_child ON manifest_references (repository_id, child);

-- The newest version of each tag that names a manifest.
CREATE TABLE tags (
  repository_id {i64} NOT NULL,
  name TEXT NOT NULL,
  digest {bytes} NOT NULL,
  hlc {i64} NOT NULL,
  origin {i64} NOT NULL,
  created_at {i64} NOT NULL,
  updated_at {i64} NOT NULL,
  PRIMARY KEY (repository_id, name)
) {clustered};
CREATE INDEX tags_by_update ON tags (repository_id, updated_at, name);
CREATE INDEX tags_by_digest ON tags (repository_id, digest);

-- Every version a tag had; digest NULL: deleted.
CREATE TABLE tag_versions (
  repository_id {i64} NOT NULL,
  name TEXT NOT NULL,
  hlc {i64} NOT NULL,
  origin {i64} NOT NULL,
  digest {bytes},
  PRIMARY KEY (repository_id, name, hlc, origin)
) {clustered};

-- A session's bytes are in content while few, else in the blob store under its id.
CREATE TABLE uploads (
  id {bytes} NOT NULL PRIMARY KEY,
  registry_id {i64} NOT NULL,
  repository TEXT NOT NULL,
  principal TEXT NOT NULL,
  algorithm {i64} NOT NULL,
  size {i64} NOT NULL,
  hash_state {bytes} NOT NULL,
  content {bytes},
  boot TEXT NOT NULL,
  version {i64} NOT NULL,
  cancelled {i64} NOT NULL,
  created_at {i64} NOT NULL,
  expires_at {i64} NOT NULL
) {clustered};
CREATE INDEX uploads_by_expiry ON uploads (expires_at);

-- The operation log. sequence is given after commit by the sequencer, gapless for each origin.
CREATE TABLE operations (
  id {bytes} NOT NULL PRIMARY KEY,
  origin {i64} NOT NULL,
  sequence {i64},
  hlc {i64} NOT NULL,
  registry_id {i64} NOT NULL,
  repository TEXT,
  kind TEXT NOT NULL,
  principal TEXT NOT NULL,
  request_id TEXT NOT NULL,
  dependencies TEXT,
  observed {bytes},
  payload TEXT NOT NULL,
  created_at {i64} NOT NULL
) {clustered};
CREATE UNIQUE INDEX operations_by_sequence ON operations (origin, sequence) WHERE sequence IS NOT NULL;
CREATE INDEX operations_unsequenced ON operations (hlc, id) WHERE sequence IS NULL;

-- The version vector: the newest operation of each origin numbered (own) or applied (others) here.
CREATE TABLE origins (
  origin {i64} NOT NULL PRIMARY KEY,
  sequence {i64} NOT NULL
) {table};

-- The newest operation of each origin that was removed by age, all before it too.
CREATE TABLE log_floors (
  origin {i64} NOT NULL PRIMARY KEY,
  sequence {i64} NOT NULL
) {table};

-- Where each reader of the operation log has come to.
CREATE TABLE log_cursors (
  reader TEXT NOT NULL,
  origin {i64} NOT NULL,
  sequence {i64} NOT NULL,
  PRIMARY KEY (reader, origin)
) {clustered};

-- Work that one node does at a time. fence grows with each new holder.
CREATE TABLE leases (
  name TEXT NOT NULL PRIMARY KEY,
  holder TEXT NOT NULL,
  fence {i64} NOT NULL,
  expires_at {i64} NOT NULL
) {clustered};

-- Places in the blob store that nothing names any more: to be emptied.
CREATE TABLE blob_removals (
  location TEXT NOT NULL PRIMARY KEY,
  size {i64} NOT NULL,
  since {i64} NOT NULL
) {clustered};

-- Files of the blob store that no row names: since when that is known, and the walk that met them last.
CREATE TABLE blob_suspects (
  location TEXT NOT NULL PRIMARY KEY,
  met_at {i64} NOT NULL,
  walk {i64} NOT NULL
) {clustered};

-- Damaged content that a repair put aside: never served, never removed.
CREATE TABLE quarantine (
  id {i64} NOT NULL PRIMARY KEY,
  registry_id {i64} NOT NULL,
  digest {bytes} NOT NULL,
  location TEXT,
  content {bytes},
  reason TEXT NOT NULL,
  created_at {i64} NOT NULL
) {table};

-- Passes of garbage collection, the newest few. seen_at: when the one under way was last heard of. manifests: of deleted
-- repositories. history: rows of the operation log, of tags' former versions and of usage that went by age.
CREATE TABLE gc_runs (
  id {i64} NOT NULL PRIMARY KEY,
  started_at {i64} NOT NULL,
  finished_at {i64},
  asked_for {i64} NOT NULL,
  phase TEXT NOT NULL,
  phase_done {i64} NOT NULL,
  phase_total {i64},
  seen_at {i64} NOT NULL,
  resumed {i64} NOT NULL,
  examined {i64} NOT NULL,
  unlinked {i64} NOT NULL,
  condemned {i64} NOT NULL,
  deleted {i64} NOT NULL,
  freed_bytes {i64} NOT NULL,
  manifests {i64} NOT NULL,
  history {i64} NOT NULL,
  error TEXT
) {table};

-- Passes of the scrub over all stored bytes, the newest few. A pass goes through the digests slice by slice and then through
-- the manifests: owner (a registry, then a repository) and digest are the last that it came past in its slice.
CREATE TABLE scrub_passes (
  id {i64} NOT NULL PRIMARY KEY,
  started_at {i64} NOT NULL,
  finished_at {i64},
  asked_for {i64} NOT NULL,
  slice {i64} NOT NULL,
  owner {i64} NOT NULL,
  digest {bytes} NOT NULL,
  items {i64} NOT NULL,
  bytes {i64} NOT NULL,
  damaged {i64} NOT NULL,
  waiting {i64} NOT NULL,
  replaced {i64} NOT NULL,
  skipped {i64} NOT NULL,
  findings TEXT NOT NULL
) {table};

-- Resources of the management plane. Identifiers (GUIDs) are lower case; a name's key is its lower-case form.
CREATE TABLE subscriptions (
  id TEXT NOT NULL PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  name TEXT NOT NULL,
  created_at {i64} NOT NULL
) {clustered};

CREATE TABLE resource_groups (
  subscription_id TEXT NOT NULL,
  group_key TEXT NOT NULL,
  name TEXT NOT NULL,
  location TEXT NOT NULL,
  tags TEXT NOT NULL,
  created_at {i64} NOT NULL,
  updated_at {i64} NOT NULL,
  PRIMARY KEY (subscription_id, group_key)
) {clustered};

-- A registry as a resource. tags and properties: JSON objects; properties holds what has no column. abac: 1 when rights on
-- repositories come from data actions with conditions. arm_tokens: 1 when tokens for the management plane are taken, too.
CREATE TABLE registry_resources (
  registry_id {i64} NOT NULL PRIMARY KEY,
  subscription_id TEXT NOT NULL,
  group_key TEXT NOT NULL,
  resource_group TEXT NOT NULL,
  location TEXT NOT NULL,
  sku TEXT NOT NULL,
  admin_enabled {i64} NOT NULL,
  abac {i64} NOT NULL,
  arm_tokens {i64} NOT NULL,
  tags TEXT NOT NULL,
  properties TEXT NOT NULL,
  version {i64} NOT NULL,
  created_at {i64} NOT NULL,
  created_by TEXT NOT NULL,
  updated_at {i64} NOT NULL,
  updated_by TEXT NOT NULL
) {table};
CREATE INDEX registry_resources_by_group ON registry_resources (subscription_id, group_key);

-- scope: the resource that is locked, in lower case. level: CanNotDelete or ReadOnly.
CREATE TABLE resource_locks (
  scope TEXT NOT NULL,
  name_key TEXT NOT NULL,
  name TEXT NOT NULL,
  level TEXT NOT NULL,
  notes TEXT,
  created_at {i64} NOT NULL,
  PRIMARY KEY (scope, name_key)
) {clustered};

-- actions: a JSON array of repositories/<pattern>/<what>/<how>.
CREATE TABLE scope_maps (
  registry_id {i64} NOT NULL,
  name_key TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  actions TEXT NOT NULL,
  is_system {i64} NOT NULL,
  version {i64} NOT NULL,
  created_at {i64} NOT NULL,
  PRIMARY KEY (registry_id, name_key)
) {clustered};

-- Scope-map tokens. Their passwords are credentials of kind 'token', owner the token's name_key, name password1 or password2.
CREATE TABLE registry_tokens (
  registry_id {i64} NOT NULL,
  name_key TEXT NOT NULL,
  name TEXT NOT NULL,
  object_id TEXT NOT NULL,
  scope_map TEXT NOT NULL,
  enabled {i64} NOT NULL,
  version {i64} NOT NULL,
  created_at {i64} NOT NULL,
  PRIMARY KEY (registry_id, name_key)
) {clustered};

-- Custom roles; the built-in ones are in the program. permissions and assignable_scopes: JSON arrays.
CREATE TABLE role_definitions (
  id TEXT NOT NULL PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  permissions TEXT NOT NULL,
  assignable_scopes TEXT NOT NULL,
  created_at {i64} NOT NULL,
  created_by TEXT NOT NULL,
  updated_at {i64} NOT NULL,
  updated_by TEXT NOT NULL
) {clustered};

-- scope_key: the scope in lower case, '/' for the whole installation. role: the GUID of a role definition.
CREATE TABLE role_assignments (
  id TEXT NOT NULL PRIMARY KEY,
  scope TEXT NOT NULL,
  scope_key TEXT NOT NULL,
  role TEXT NOT NULL,
  principal_id TEXT NOT NULL,
  principal_type TEXT NOT NULL,
  description TEXT,
  condition TEXT,
  created_at {i64} NOT NULL,
  created_by TEXT NOT NULL,
  updated_at {i64} NOT NULL,
  updated_by TEXT NOT NULL
) {clustered};
CREATE INDEX role_assignments_by_principal ON role_assignments (principal_id, scope_key);
CREATE INDEX role_assignments_by_scope ON role_assignments (scope_key);

-- permissions, principals, excluded: JSON arrays.
CREATE TABLE deny_assignments (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  scope TEXT NOT NULL,
  scope_key TEXT NOT NULL,
  permissions TEXT NOT NULL,
  principals TEXT NOT NULL,
  excluded TEXT NOT NULL,
  is_not_inherited {i64} NOT NULL,
  condition TEXT,
  description TEXT,
  created_at {i64} NOT NULL,
  created_by TEXT NOT NULL
) {clustered};
CREATE INDEX deny_assignments_by_scope ON deny_assignments (scope_key);

-- One row: grows with every change of who may do what (roles, assignments, groups, scope maps, directory objects). What was
-- concluded under an older number is void.
CREATE TABLE policy (
  name TEXT NOT NULL PRIMARY KEY,
  generation {i64} NOT NULL
) {clustered};

-- The embedded directory. kind: user, group, application, service_principal or managed_identity. name_key: what it signs in
-- with or is found by (user principal name, application id), in lower case. attributes: a JSON object.
CREATE TABLE directory_objects (
  id TEXT NOT NULL PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  name_key TEXT NOT NULL,
  display_name TEXT NOT NULL,
  enabled {i64} NOT NULL,
  attributes TEXT NOT NULL,
  sessions_valid_from {i64} NOT NULL,
  created_at {i64} NOT NULL,
  updated_at {i64} NOT NULL
) {clustered};
CREATE UNIQUE INDEX directory_objects_by_name ON directory_objects (tenant_id, kind, name_key);

CREATE TABLE directory_members (
  group_id TEXT NOT NULL,
  member_id TEXT NOT NULL,
  PRIMARY KEY (group_id, member_id)
) {clustered};
CREATE INDEX directory_members_by_member ON directory_members (member_id);

-- What objects prove themselves with. kind: password (people chose it: argon2), secret (made here: salted SHA-256), certificate
-- (its DER) or federated (issuer, subject, audience in data, a JSON object).
CREATE TABLE directory_credentials (
  object_id TEXT NOT NULL,
  id TEXT NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  data {bytes} NOT NULL,
  hint TEXT NOT NULL,
  starts_at {i64} NOT NULL,
  expires_at {i64},
  created_at {i64} NOT NULL,
  PRIMARY KEY (object_id, id)
) {clustered};

-- Others whose tokens are taken. kind: entra or oidc. audiences: a JSON array; rules: a JSON object.
CREATE TABLE trusted_issuers (
  name TEXT NOT NULL PRIMARY KEY,
  kind TEXT NOT NULL,
  issuer TEXT NOT NULL,
  tenant_id TEXT NOT NULL,
  audiences TEXT NOT NULL,
  rules TEXT NOT NULL,
  enabled {i64} NOT NULL,
  created_at {i64} NOT NULL,
  updated_at {i64} NOT NULL
) {clustered};

-- Principals of other directories, bound to the tenant that named them first.
CREATE TABLE external_principals (
  object_id TEXT NOT NULL PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  display_name TEXT NOT NULL,
  first_seen {i64} NOT NULL
) {clustered};

-- Signing in through a browser or another device, until its tokens were fetched. kind: code or device. id: a hash of what the
-- client holds; user_code: what a person types, hashed. state: a JSON object.
CREATE TABLE sign_ins (
  id {bytes} NOT NULL PRIMARY KEY,
  kind TEXT NOT NULL,
  user_code {bytes},
  state TEXT NOT NULL,
  polled_at {i64} NOT NULL,
  expires_at {i64} NOT NULL
) {clustered};
CREATE UNIQUE INDEX sign_ins_by_user_code ON sign_ins (user_code) WHERE user_code IS NOT NULL;
CREATE INDEX sign_ins_by_expiry ON sign_ins (expires_at);

-- Locks and notes on repositories (tag and digest empty), manifests (tag empty) and tags (digest empty). A row is there once
-- something differed from the default: everything allowed. flags, while allowed: 1 delete, 2 write, 4 read, 8 list. hlc: of the
-- operation that set it.
CREATE TABLE attributes (
  repository_id {i64} NOT NULL,
  tag TEXT NOT NULL,
  digest {bytes} NOT NULL,
  flags {i64} NOT NULL,
  quarantine_state TEXT,
  quarantine_details TEXT,
  hlc {i64} NOT NULL,
  updated_at {i64} NOT NULL,
  PRIMARY KEY (repository_id, tag, digest)
) {clustered};
