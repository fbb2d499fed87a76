//! TLS to PostgreSQL: each mode of the address does as much as it says.

use std::path::{Path, PathBuf};

use lazuli_db::{Db, Error, PostgresOptions, params};
use lazuli_testkit::postgres::Node;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};

use crate::place::block;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn signed(authority: &Authority, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "postgres");
    params.extended_key_usages.push(usage);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// Writes a file into the server's data folder, as the server's user.
fn write(node: &Node, name: &str, pem: &str) {
    let lines = pem.trim().replace('\n', "','");
    let sql =
        format!("COPY (SELECT UNNEST(ARRAY['{lines}'])) TO PROGRAM 'umask 077; cat > {name}'");
    node.psql("postgres", &sql).unwrap();
}

fn file(folder: &Path, name: &str, pem: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, pem).unwrap();
    path
}

fn encryption(url: &str) -> Result<String, Error> {
    let db = Db::open_postgres(PostgresOptions {
        connections: 1,
        ..PostgresOptions::new(url)
    })?;
    let version = block(async {
        db.read(|tx| {
            tx.query_one(
                "SELECT COALESCE(version, 'none') FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
                params![],
                |row| row.get_string(0),
            )
        })
        .await
    });
    Ok(version?.unwrap())
}

#[test]
fn connections_are_as_safe_as_the_address_says() {
    let Some(node) = Node::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (authority(), authority());
    let root = file(folder.path(), "root.pem", &ours.pem());
    let stranger = file(folder.path(), "stranger.pem", &other.pem());
    let (host, port) = (node.address().ip(), node.address().port());
    let open = |query: &str| {
        encryption(&format!(
            "postgres://postgres@{host}:{port}/postgres?{query}"
        ))
    };
    let refused = |query: &str| {
        let outcome = open(query);
        assert!(
            matches!(outcome, Err(Error::Unavailable(_))),
            "{query}: {outcome:?}"
        );
    };

    // A server without TLS.
    assert_eq!(open("sslmode=prefer").unwrap(), "none");
    assert_eq!(open("sslmode=disable").unwrap(), "none");
    refused("sslmode=require");

    let serve = |name: &str| {
        let (certificate, key) = signed(&ours, name, ExtendedKeyUsagePurpose::ServerAuth);
        write(&node, "server.crt", &certificate);
        write(&node, "server.key", &key);
        write(&node, "root.crt", &ours.pem());
        node.psql(
            "postgres",
            "ALTER SYSTEM SET ssl = on; ALTER SYSTEM SET ssl_ca_file = 'root.crt'; SELECT pg_reload_conf();",
        )
        .unwrap();
        // Takes a moment: until a new connection sees it.
        while open("sslmode=prefer").unwrap() == "none" {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        certificate
    };
    let root_at =
        |mode: &str, path: &Path| format!("sslmode={mode}&sslrootcert={}", path.display());
    let certificate = serve("127.0.0.1");
    assert_eq!(open("").unwrap(), "TLSv1.3");
    assert_eq!(open("sslmode=disable").unwrap(), "none");
    assert_eq!(open("sslmode=require").unwrap(), "TLSv1.3");
    for mode in ["require", "verify-ca", "verify-full"] {
        assert_eq!(open(&root_at(mode, &root)).unwrap(), "TLSv1.3");
        refused(&root_at(mode, &stranger));
    }
    // No system trusts it.
    for mode in ["verify-ca", "verify-full"] {
        let outcome = open(&format!("sslmode={mode}"));
        assert!(
            matches!(outcome, Err(Error::Unavailable(_) | Error::Unsuitable(_))),
            "{outcome:?}"
        );
    }
    // The very certificate as root.
    let itself = file(folder.path(), "itself.pem", &certificate);
    assert_eq!(open(&root_at("verify-full", &itself)).unwrap(), "TLSv1.3");
    let missing = open(&root_at("verify-full", &folder.path().join("missing")));
    assert!(matches!(missing, Err(Error::Unsuitable(_))), "{missing:?}");

    // Who dials another name than the certificate's.
    let elsewhere = |mode: &str| {
        let query = root_at(mode, &root);
        encryption(&format!(
            "postgres://postgres@localhost:{port}/postgres?{query}"
        ))
    };
    assert_eq!(elsewhere("verify-ca").unwrap(), "TLSv1.3");
    assert!(matches!(
        elsewhere("verify-full"),
        Err(Error::Unavailable(_))
    ));

    // A client that proves who it is.
    write(
        &node,
        "pg_hba.conf",
        "hostssl all all 127.0.0.1/32 cert\nhostnossl all all 127.0.0.1/32 trust",
    );
    node.psql("postgres", "SELECT pg_reload_conf()").unwrap();
    while open(&root_at("verify-full", &root)).is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (certificate, key) = signed(&ours, "client", ExtendedKeyUsagePurpose::ClientAuth);
    let (certificate, key) = (
        file(folder.path(), "client.pem", &certificate),
        file(folder.path(), "client.key", &key),
    );
    let own = format!(
        "{}&sslcert={}&sslkey={}",
        root_at("verify-full", &root),
        certificate.display(),
        key.display()
    );
    assert_eq!(open(&own).unwrap(), "TLSv1.3");
    refused(&root_at("verify-full", &root));
}
