//! Azure with bearer tokens, as a workload identity gets them: the token service is a stand-in that answers as Microsoft's
//! documentation says, the store is Azurite with HTTPS, which checks tokens and what is signed with delegation keys.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lazuli_testkit::object_stores::azurite::{ACCOUNT, Azurite, Storage};
use lazuli_testkit::server::{Server, free_port};

use crate::support::*;

/// Answers every request with a token, if it has the form that a workload identity's has.
const TOKENS: &str = r"
const [port, folder] = process.argv.slice(1), fs = require('fs');
const text = value => Buffer.from(JSON.stringify(value)).toString('base64url');
const now = Math.floor(Date.now() / 1000);
const claims = {aud: 'https://storage.azure.com', iss: 'https://sts.windows.net/tenant/', tid: 'tenant', oid: 'object', iat: now, nbf: now - 60, exp: now + 3600};
const token = [text({alg: 'RS256', typ: 'JWT'}), text(claims), 'c2ln'].join('.');
const keys = {key: fs.readFileSync(folder + '/key.pem'), cert: fs.readFileSync(folder + '/certificate.pem')};
require('https').createServer(keys, (request, response) => {
  let body = '';
  request.on('data', piece => body += piece).on('end', () => {
    const form = new URLSearchParams(body);
    const isRight = request.method === 'POST' && request.url === '/tenant/oauth2/v2.0/token'
      && form.get('client_id') === 'client' && form.get('client_assertion') === 'from the cluster'
      && form.get('client_assertion_type') === 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
      && form.get('scope') === 'https://storage.azure.com/.default' && form.get('grant_type') === 'client_credentials';
    response.writeHead(isRight ? 200 : 400, {'Content-Type': 'application/json'});
    response.end(JSON.stringify(isRight ? {token_type: 'Bearer', expires_in: 3599, access_token: token} : {error: body + request.url}));
  });
}).listen(port, '127.0.0.1');
";

struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes a container with a token as anybody gets it who has what the cluster gives.
fn make_container(endpoint: &str, authority: &str, certificate: &str) {
    let curl = |arguments: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--fail-with-body",
            "--cacert",
            certificate,
        ]);
        let output = curl.args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let form = "client_id=client&grant_type=client_credentials&client_assertion=from the cluster\
        &client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&scope=https://storage.azure.com/.default";
    let answer = curl(&[
        "--data",
        form,
        &format!("{authority}/tenant/oauth2/v2.0/token"),
    ]);
    let text = String::from_utf8(answer).unwrap();
    let token = text.split("\"access_token\":\"").nth(1).unwrap();
    let bearer = format!("Authorization: Bearer {}", token.split('"').next().unwrap());
    let url = format!("{endpoint}/images?restype=container");
    let version = "x-ms-version: 2021-12-02";
    curl(&[
        "--request",
        "PUT",
        "--header",
        &bearer,
        "--header",
        version,
        "--data",
        "",
        &url,
    ]);
}

#[test]
fn a_workload_identity_is_enough_for_azure() {
    let Some(azurite) = Azurite::start_with_tls(Storage::Memory) else {
        return;
    };
    let certificate = azurite.certificate();
    let folder = certificate.parent().unwrap();
    let tokens = free_port();
    let mut node = Command::new("node");
    node.args(["-e", TOKENS, "--", &tokens.port().to_string()])
        .arg(folder);
    let _tokens = Stopped(node.stdin(Stdio::null()).spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(tokens).is_err() {
        assert!(
            Instant::now() < deadline,
            "the token service does not listen"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let file = folder.join("token");
    std::fs::File::create(&file)
        .unwrap()
        .write_all(b"from the cluster")
        .unwrap();
    let (certificate, file) = (
        certificate.display().to_string(),
        file.display().to_string(),
    );
    let (endpoint, authority) = (azurite.endpoint(), format!("https://{tokens}"));
    make_container(&endpoint, &authority, &certificate);
    let server = Server::start(
        env!("CARGO_BIN_EXE_lazuli"),
        &[
            ("LAZULI_STORAGE_URL", "az://images/registry"),
            ("LAZULI_STORAGE_ENDPOINT", &endpoint),
            ("LAZULI_STORAGE_ACCESS_KEY", ACCOUNT),
            ("LAZULI_STORAGE_AUTHORITIES", &certificate),
            ("LAZULI_STORAGE_PART_SIZE", "5MiB"),
            ("AZURE_CLIENT_ID", "client"),
            ("AZURE_TENANT_ID", "tenant"),
            ("AZURE_FEDERATED_TOKEN_FILE", &file),
            ("AZURE_AUTHORITY_HOST", &authority),
        ],
    );
    for (number, size) in [60_000, LARGE].into_iter().enumerate() {
        let content = bytes(size, number as u64);
        let target = push(&server, "a", &content);
        let response = server.admin().get(&target);
        assert_eq!(response.status, 307, "{response:?}\n{}", server.log_tail());
        // Signed with a delegation key, and it opens this object.
        let url = response.header("location").unwrap();
        assert!(
            url.contains("skoid=") && !url.contains("from the cluster"),
            "{url}"
        );
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--cacert", &certificate, url]);
        let fetched = curl.output().unwrap();
        assert!(fetched.status.success(), "{fetched:?}");
        assert!(fetched.stdout == content);
        assert_eq!(server.admin().delete(&target).status, 202);
        assert_eq!(server.admin().get(&target).status, 404);
    }
}
