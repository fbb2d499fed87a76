//! The one table of settings. A line here is the key's name, type, default and documentation; the variable and the
//! flag follow from the name; file reading, `--help`, `lazuli config` and docs/reference/configuration.md follow from
//! the table.

use std::path::PathBuf;

use lazuli_api::{MetricsAccess, RedirectedCallers};
use lazuli_wire::token::Secret;

use super::key::{Key, Mark, Section, section_name, settings};
use super::kinds::{
    CertificateName, DatabaseUrl, DomainName, Listen, LogLevel, Network, PublicUrl, RegistryName,
    WebOrigin,
};
use super::sources::Values;
use super::storage_kinds::{AccessKey, Region, ServiceUrl, StorageUrl};
use super::value::{Period, Setting, Size};
use super::words::{LogFormat, QuotaTier};

settings! {
    /// Where lazuli listens, where it keeps its data, and what it calls itself.
    general "" General {
        /// The folder that holds everything: database, blobs, keys, certificates. Made at first start, readable by
        /// its owner only. One server at a time uses it.
        @Common
        data_dir: PathBuf = "lazuli-data";
        /// Where plain HTTP listens; "off" for nowhere. Passwords cross this connection unencrypted: outside of
        /// loopback put TLS in front or use https.
        @Common
        http: Listen = "127.0.0.1:5000";
        /// Where HTTPS listens; "off" for nowhere.
        @Common
        https: Listen = "127.0.0.1:5443";
        /// How clients reach this server when a proxy stands in front: the scheme, host and port that token challenges
        /// name. Not needed otherwise: the login server is what the client dialled.
        public_url: Option<PublicUrl> = "";
        /// Proxies whose X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host are believed.
        trusted_proxies: Vec<Network> = "";
        /// The name of the default registry: it answers for every host name that selects no other one, and its name
        /// is the admin user's name.
        registry_name: RegistryName = "lazuli";
        /// Registries are also chosen by host name: NAME.DOMAIN is the registry called NAME.
        domain_suffix: Option<DomainName> = "";
        /// Web pages, by their origin such as https://portal.example.com, that browsers let read answers; "*" for all.
        cors_origins: Vec<WebOrigin> = "";
        /// The key that seals the secrets in the database and signs the state of uploads: 32 random bytes, as 64
        /// hexadecimal digits or in base64 (`openssl rand -hex 32`). All nodes on one database need the same. Without
        /// it, and without `master_key_file`, the first start makes one in the data folder, in the file master.key.
        @EnvOnly @Secret
        master_key: Option<Secret> = "";
        /// The file that holds the master key, as for `LAZULI_MASTER_KEY`; a copy of a data folder's master.key will do.
        master_key_file: Option<PathBuf> = "";
        /// Whether everyone may pull from the default registry without signing in. Set here, it holds again after every
        /// start; otherwise `az acr update --anonymous-pull-enabled` decides.
        anonymous_pull: bool = "false";
    }

    /// The certificate of the HTTPS listener. Without one of your own, lazuli makes a certificate authority and a
    /// certificate for localhost, this computer's name and `tls.names`, in the folder `tls` of the data folder.
    tls "tls." Tls {
        /// A certificate chain of your own (PEM, the server's certificate first). SIGHUP reads the files again.
        @Reload
        certificate: Option<PathBuf> = "";
        /// The private key of `tls.certificate` (PEM).
        @Reload
        key: Option<PathBuf> = "";
        /// More names and addresses that the made certificate is valid for.
        @Reload
        names: Vec<CertificateName> = "";
    }

    /// The admin user: one name, two passwords, so that one can be replaced while the other is in use.
    admin "admin." Admin {
        /// Whether admin users may sign in at all. Each registry has a switch of its own, too
        /// (`az acr update --admin-enabled`); the default registry's is on.
        enabled: bool = "true";
        /// The admin user's first password, at least 8 characters. It counts when the data folder is made; later
        /// `lazuli admin reset-password` changes it. Without it a password is generated into the file
        /// admin-password in the data folder.
        @EnvOnly @Secret
        password: Option<Secret> = "";
    }

    /// The tokens that clients get for a password.
    tokens "tokens." Tokens {
        /// The keys that sign tokens are replaced when they are this old. Tokens that are out stay valid until they
        /// expire. `lazuli admin rotate-keys` replaces the keys at once.
        key_lifetime: Period = "90d" in "1d" ..= "3650d";
    }

    /// How az, Azure's command line, and Azure's libraries find this server: `lazuli az-env` tells them.
    azure "azure." Azure {
        /// The domain of the names that the parts of Azure have here: management.DOMAIN, login.DOMAIN,
        /// NAME.azurecr.DOMAIN. It is the directory's first domain, too: users are called NAME@DOMAIN.
        domain: DomainName = "lazuli.test";
        /// Where the proxy listens that leads those names to this server, so that they work without DNS
        /// (HTTPS_PROXY); "off" for nowhere.
        proxy: Listen = "off";
    }

    /// Where the metadata is kept: repositories, tags, manifests, sessions.
    database "database." Database {
        /// "sqlite" is a file in the data folder; postgres://user:password@host/database is a server. Set a URL with
        /// a password by the environment or the file: everyone on the machine can read a process's flags.
        /// `?sslmode=verify-full&sslrootcert=FILE` encrypts the connection and checks who answers; several hosts,
        /// host1,host2, are asked for the one that takes writes. See docs/explanation/many-nodes.md.
        @Secret
        url: DatabaseUrl = "sqlite";
        /// How many transactions run at the same time: for SQLite those that read, for PostgreSQL all; of those a
        /// quarter only read. 0: 2 for SQLite, 16 for PostgreSQL.
        connections: u32 = "0" in "0" ..= "64";
    }

    /// Several servers, called nodes, with one PostgreSQL database: each answers as if it were the only one.
    cluster "cluster." Cluster {
        /// How old an answer may be that another node has changed meanwhile. 0s: no answer ever is; then a node asks the
        /// database for changes before it answers from memory, once for all requests that wait. More saves that time.
        staleness: Period = "0s" in "0s" ..= "1m";
    }

    /// Where blobs are kept, and how.
    storage "storage." Storage {
        /// "disk" is the data folder; s3://bucket/folder, az://container/folder and gs://bucket/folder are object stores,
        /// which any number of servers may share. Access to them comes from the usual environment variables of the
        /// provider (AWS_…, AZURE_…, GOOGLE_…), the files they name, the machine's identity, or the settings below.
        url: StorageUrl = "disk";
        /// The object store's address, if it is not the provider's own: an S3-compatible store, or Azurite.
        endpoint: Option<ServiceUrl> = "";
        /// The region that requests to S3 are signed for.
        region: Option<Region> = "";
        /// The name of the access key (S3), or of the storage account (Azure).
        access_key: Option<AccessKey> = "";
        /// Its secret.
        @EnvOnly @Secret
        secret_key: Option<Secret> = "";
        /// A file that holds the secret, in place of `storage.secret_key`.
        secret_key_file: Option<PathBuf> = "";
        /// A file that holds a shared access signature (Azure), in place of the account's key.
        sas_token_file: Option<PathBuf> = "";
        /// Certificate authorities of the object store (PEM), beside those of the system.
        authorities: Option<PathBuf> = "";
        /// Whether clients fetch blobs from the object store itself, at signed addresses (307). Otherwise all bytes go
        /// through this server.
        redirect: bool = "true";
        /// Blobs smaller than this go through this server all the same.
        redirect_from: Size = "0" in "0" ..= "1024TiB";
        /// Which clients fetch from there: everyone, or only those that signed in (who is given an address may read that
        /// blob without credentials while it is good), or only those that did not (public downloads).
        redirect_for: RedirectedCallers = "everyone";
        /// Networks whose clients can reach the object store; all others get the bytes through this server. Empty: all
        /// clients can. Behind a proxy see trusted_proxies.
        redirect_networks: Vec<Network> = "";
        /// How long a signed address is good at least.
        signed_url_lifetime: Period = "20m" in "1m" ..= "6d";
        /// Blobs up to this size are one object named by their digest; larger ones are sent in parts of this size.
        part_size: Size = "8MiB" in "5MiB" ..= "512MiB";
        /// Memory for parts on their way to the object store; further uploads wait.
        upload_memory: Size = "256MiB" in "128MiB" ..= "64GiB";
        /// Whether a bucket gets a journal too, from which a lost database can be made anew (`lazuli rebuild`): repositories,
        /// manifests, tags and small blobs, and who may do what. On a disk there is none.
        journal: bool = "true";
        /// How often it is written: what is newer may be missing after a rebuild.
        journal_interval: Period = "10s" in "1s" ..= "1h";
        /// Blobs up to this size live in the database, where many of them become durable with one flush.
        inline_blob_max: Size = "4KiB" in "0" ..= "64KiB";
        /// Uploads to the disk are refused while less than this is free, so that the database can still write.
        reserved_free_space: Size = "128MiB" in "0" ..= "1024TiB";
    }

    /// Upload sessions.
    uploads "uploads." Uploads {
        /// A session in which nothing happened for this long is removed with its bytes. One to which nothing was sent
        /// yet ends after an hour at the latest.
        expiry: Period = "1d" in "1s" ..= "365d";
    }

    /// Protection of what clients were told exists.
    leases "leases." Leases {
        /// For this long a blob that a client was told to exist is kept, referenced or not. Longer than the longest push.
        duration: Period = "1d" in "1s" ..= "365d";
    }

    /// Garbage collection: what frees the space of deleted content, while pushes go on.
    gc "gc." Gc {
        /// Whether it runs by itself. `lazuli gc run` works in any case.
        enabled: bool = "true";
        /// How often it looks for work.
        interval: Period = "1m" in "1s" ..= "7d";
    }

    /// What is remembered, and for how long. Garbage collection removes what is older, in small steps.
    retention "retention." Retention {
        /// The log of changes, and what tags named before. What somebody on record still has to read stays, and the newest
        /// thousand changes.
        operations: Period = "90d" in "1d" ..= "36500d";
        /// Usage by the hour: transfers, and when which blob was stored. Then it is summed up by the day.
        usage_hours: Period = "62d" in "1d" ..= "36500d";
        /// Usage by the day. Then it is summed up by the month, which stays.
        usage_days: Period = "762d" in "1d" ..= "36500d";
    }

    /// The scrub: what reads every stored byte again, in the background, and finds what a disk altered or lost.
    scrub "scrub." Scrub {
        /// Whether it runs by itself. `lazuli scrub run` works in any case.
        enabled: bool = "true";
        /// In this time every byte is read once, at an even pace.
        period: Period = "30d" in "1h" ..= "3650d";
        /// Most bytes read in a second. Too few for the period make a pass take longer.
        rate: Size = "32MiB" in "64KiB" ..= "64GiB";
        /// Another registry that has the same content, under the same names: what is damaged here is fetched from there.
        peer: Option<ServiceUrl> = "";
        /// A user there who may pull.
        peer_user: Option<AccessKey> = "";
        /// The user's password.
        @EnvOnly @Secret
        peer_password: Option<Secret> = "";
        /// A file that holds the password, in place of `scrub.peer_password`.
        peer_password_file: Option<PathBuf> = "";
        /// Certificate authorities of the peer (PEM), beside those of the system.
        peer_authorities: Option<PathBuf> = "";
    }

    /// Deletion.
    delete "delete." Delete {
        /// Whether tags, manifests and blobs can be deleted; if not, DELETE is answered with 405.
        enabled: bool = "true";
    }

    /// Bounds: nothing a client sends makes the server use more than this.
    limits "limits." Limits {
        /// Open connections; further ones are answered with 503 and closed. One address has three quarters at most.
        max_connections: u32 = "4096" in "1" ..= "1000000";
        /// Requests that receive a blob at the same time; further ones are answered with 429. One client address has
        /// three quarters at most.
        max_concurrent_uploads: u32 = "256" in "1" ..= "100000";
        /// The largest manifest; a larger one is answered with 413. Clients expect at least 4MiB.
        manifest_bytes: Size = "4MiB" in "64KiB" ..= "64MiB";
        /// The largest blob; a larger one is answered with 413.
        blob_bytes: Size = "200GiB" in "1MiB" ..= "1024TiB";
        /// Manifests that are being received, together; further ones wait briefly and are then answered with 503. One
        /// client address may take a quarter of this. Forms may take a quarter of this besides.
        buffered_bytes: Size = "32MiB" in "1MiB" ..= "64GiB";
        /// The largest request line and headers together; more is answered with 431.
        request_header_bytes: Size = "32KiB" in "8KiB" ..= "1MiB";
        /// How long a client may take to send its headers.
        header_timeout: Period = "15s" in "1s" ..= "10m";
        /// How long a client may take for the TLS handshake.
        handshake_timeout: Period = "10s" in "1s" ..= "10m";
        /// How long a connection stays open between requests.
        idle_timeout: Period = "1m30s" in "1s" ..= "1h";
        /// How long the body of a request may stand still.
        body_stall_timeout: Period = "1m" in "1s" ..= "1h";
        /// How long a client may take no byte of an answer.
        response_stall_timeout: Period = "2m" in "1s" ..= "1h";
        /// How long a stopping server waits for requests under way.
        shutdown_grace: Period = "1m" in "0s" ..= "1h";
        /// Requests per second of one identity (or address, if anonymous) in the long run; above it the answer is 429.
        /// 0: no limit.
        requests_per_second: u32 = "0" in "0" ..= "1000000";
        /// Requests at once after a pause, where requests_per_second is set; 0: twice requests_per_second.
        requests_burst: u32 = "0" in "0" ..= "1000000";
    }

    /// Requests a minute by kind, of a registry and of one identity in it (or address, if anonymous); above them the answer
    /// is 429 with Retry-After. A number of 0 is the tier's.
    quotas "quotas." Quotas {
        /// "off", or the numbers of a tier of Azure Container Registry: "standard" (Basic has the same) or "premium".
        tier: QuotaTier = "off";
        /// GET and HEAD, of a registry.
        read_per_registry: u32 = "0" in "0" ..= "100000000";
        /// GET and HEAD, of one identity.
        read_per_identity: u32 = "0" in "0" ..= "100000000";
        /// PUT, PATCH and POST, of a registry.
        write_per_registry: u32 = "0" in "0" ..= "100000000";
        /// PUT, PATCH and POST, of one identity.
        write_per_identity: u32 = "0" in "0" ..= "100000000";
        /// DELETE, of a registry.
        delete_per_registry: u32 = "0" in "0" ..= "100000000";
        /// DELETE, of one identity.
        delete_per_identity: u32 = "0" in "0" ..= "100000000";
        /// Lists of referrers, of a registry.
        referrers_per_registry: u32 = "0" in "0" ..= "100000000";
        /// Lists of referrers, of one identity.
        referrers_per_identity: u32 = "0" in "0" ..= "100000000";
        /// Tokens asked for, of a registry.
        tokens_per_registry: u32 = "0" in "0" ..= "100000000";
    }

    /// What is kept in memory.
    memory "memory." Memory {
        /// Manifests kept ready to be served.
        manifest_cache: Size = "8MiB" in "64KiB" ..= "64GiB";
        /// Small blobs, and where large ones are.
        blob_cache: Size = "4MiB" in "64KiB" ..= "64GiB";
        /// Pages of tag and repository lists.
        page_cache: Size = "2MiB" in "64KiB" ..= "64GiB";
    }

    /// What monitoring reads, at /metrics of both listeners.
    metrics "metrics." Metrics {
        /// Who may read /metrics: "loopback" for programs on this computer that come without a proxy, "everyone", "off".
        access: MetricsAccess = "loopback";
    }

    /// Log lines go to standard error.
    log "log." Log {
        /// error, warn, info, debug or trace, or levels by module: info,lazuli_db=debug.
        @Reload
        level: LogLevel = "info";
        /// "text" for people, "json" for machines.
        format: LogFormat = "text";
        /// Whether each request is logged, with its status, bytes and duration, whatever the level.
        @Reload
        access: bool = "true";
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_variables_and_flags_are_unique() {
        let names: BTreeSet<_> = KEYS.iter().map(|key| key.name).collect();
        let variables: BTreeSet<_> = KEYS.iter().map(Key::variable).collect();
        let flags: BTreeSet<_> = KEYS.iter().map(Key::flag).collect();
        assert_eq!(
            (names.len(), variables.len(), flags.len()),
            (KEYS.len(), KEYS.len(), KEYS.len())
        );
        for fixed in ["config", "help", "version", "check", "reference"] {
            assert!(!flags.contains(fixed), "{fixed} is a flag of the program");
        }
    }

    #[test]
    fn every_default_is_valid_and_every_key_explains_itself() {
        let mut values = Values::default();
        assert!(Settings::read(&mut values).is_some());
        assert!(values.problems.is_empty(), "{:?}", values.problems);
        for key in KEYS {
            assert!(key.doc().ends_with(['.', ')']), "{}: a sentence", key.name);
        }
    }

    #[test]
    fn the_fixed_points_for_scripts_are_what_they_were() {
        let fixed = |name: &str| {
            let key = Key::find(name).unwrap();
            (format!("--{}", key.flag()), key.variable(), key.default)
        };
        assert_eq!(fixed("data_dir").0, "--data-dir");
        assert_eq!(
            fixed("http"),
            ("--http".into(), "LAZULI_HTTP".into(), "127.0.0.1:5000")
        );
        assert_eq!(
            fixed("https"),
            ("--https".into(), "LAZULI_HTTPS".into(), "127.0.0.1:5443")
        );
        assert_eq!(fixed("admin.password").1, "LAZULI_ADMIN_PASSWORD");
        assert!(Key::find("admin.password").unwrap().is(Mark::EnvOnly));
    }

    #[test]
    fn sections_and_keys_agree() {
        let sections: BTreeSet<_> = SECTIONS.iter().map(|section| section.name).collect();
        for key in KEYS {
            assert!(sections.contains(key.section()), "{}", key.name);
        }
    }
}
