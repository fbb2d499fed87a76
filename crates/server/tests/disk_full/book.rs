//! Images that were pushed and acknowledged.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use lazuli_testkit::crash::random::content;
use lazuli_testkit::http::{Client, Connection, Response};
use lazuli_testkit::server::{PASSWORD, Server, basic};
use lazuli_wire::oci::{Algorithm, Digest};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const OCTETS: (&str, &str) = ("Content-Type", "application/octet-stream");

/// Everything acknowledged in one repository.
#[derive(Debug)]
pub(crate) struct Book {
    client: Client,
    repository: String,
    images: BTreeMap<String, Image>,
}

#[derive(Debug, Clone)]
struct Image {
    body: Vec<u8>,
    blobs: Vec<Digest>,
}

/// An upload session with its first half acknowledged.
#[derive(Debug)]
pub(crate) struct Session {
    target: String,
    content: Vec<u8>,
}

impl Book {
    pub(crate) fn new(server: &Server, repository: &str) -> Self {
        Self {
            client: server.admin(),
            repository: repository.to_owned(),
            images: BTreeMap::new(),
        }
    }

    fn target(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.repository)
    }

    /// Pushes an image of one layer. Errors: the first answer that was no success; the book has no image then.
    pub(crate) fn push(&mut self, tag: &str, size: usize) -> Result<(), Response> {
        let layer = self.push_blob(size)?;
        let config = self.push_blob(100)?;
        let body = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": OCI,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.to_string(), "size": 100},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer.to_string(), "size": size}],
        });
        let image = Image {
            body: body.to_string().into_bytes(),
            blobs: vec![layer, config],
        };
        self.tag(tag, image)
    }

    fn tag(&mut self, tag: &str, image: Image) -> Result<(), Response> {
        let target = self.target(&format!("manifests/{tag}"));
        let headers = [("Content-Type", OCI)];
        expect(self.client.send("PUT", &target, &headers, &image.body), 201)?;
        self.images.insert(tag.to_owned(), image);
        Ok(())
    }

    /// Gives an image a further tag.
    pub(crate) fn tag_again(&mut self, tag: &str, new: &str) -> Result<(), Response> {
        let image = self.images[tag].clone();
        self.tag(new, image)
    }

    fn push_blob(&self, size: usize) -> Result<Digest, Response> {
        let content = fresh(size);
        let digest = Digest::of(Algorithm::Sha256, &content);
        let target = self.target(&format!("blobs/uploads/?digest={digest}"));
        expect(self.client.send("POST", &target, &[OCTETS], &content), 201)?;
        Ok(digest)
    }

    /// Streams a chunk of at most so many bytes; the answer, which may come before all of it is sent.
    pub(crate) fn stream(&self, size: usize) -> Response {
        let started = self
            .client
            .send("POST", &self.target("blobs/uploads/"), &[], &[]);
        let place = started.header("location").unwrap().to_owned();
        let mut connection = Connection::open(self.client.address()).unwrap();
        let head = format!(
            "PATCH {place} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
            self.client.address(),
            basic("lazuli", PASSWORD)
        );
        connection.write(head.as_bytes()).unwrap();
        let piece = content(7, 1 << 20);
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
        for _ in 0..size / piece.len() {
            if connection.write(&chunk).is_err() {
                break;
            }
        }
        connection.receive(false).unwrap()
    }

    /// Pushes images until one is refused; how many there were, and the refusal.
    pub(crate) fn push_until_refused(&mut self, name: &str, size: usize) -> (usize, Response) {
        for count in 0..100_000 {
            if let Err(refusal) = self.push(&format!("{name}{count}"), size) {
                return (count, refusal);
            }
        }
        panic!("the disk does not get full");
    }

    /// Deletes a tag. Errors: the answer that was no success.
    pub(crate) fn delete_tag(&mut self, tag: &str) -> Result<(), Response> {
        let target = self.target(&format!("manifests/{tag}"));
        expect(self.client.delete(&target), 202)?;
        self.images.remove(tag);
        Ok(())
    }

    /// Deletes the manifest that a tag names, with all its tags.
    pub(crate) fn delete_image(&mut self, tag: &str) -> Result<(), Response> {
        let body = self.images[tag].body.clone();
        let digest = Digest::of(Algorithm::Sha256, &body);
        let target = self.target(&format!("manifests/{digest}"));
        expect(self.client.delete(&target), 202)?;
        self.images.retain(|_, image| image.body != body);
        Ok(())
    }

    /// Begins a session and sends the first half of its content.
    pub(crate) fn begin_session(&self, size: usize) -> Session {
        let content = fresh(size);
        let target = &self.target("blobs/uploads/");
        let begun = expect(self.client.send("POST", target, &[], &[]), 202).unwrap();
        let mut session = Session {
            target: location(&begun),
            content,
        };
        let half = session.content[..size / 2].to_vec();
        let response = self.client.send("PATCH", &session.target, &[OCTETS], &half);
        session.target = location(&expect(response, 202).unwrap());
        session
    }

    /// Sends the other half and closes the session.
    pub(crate) fn finish_session(&self, session: &Session) -> Result<(), Response> {
        let digest = Digest::of(Algorithm::Sha256, &session.content);
        let separator = if session.target.contains('?') {
            '&'
        } else {
            '?'
        };
        let target = format!("{}{separator}digest={digest}", session.target);
        let rest = &session.content[session.content.len() / 2..];
        expect(self.client.send("PUT", &target, &[OCTETS], rest), 201)?;
        let blob = self.client.get(&self.target(&format!("blobs/{digest}")));
        assert!(
            blob.body == session.content,
            "the session became something else"
        );
        Ok(())
    }

    /// The session is where it was acknowledged to be.
    pub(crate) fn verify_session(&self, session: &Session) {
        let response = self.client.get(&session.target);
        let range = format!("0-{}", session.content.len() / 2 - 1);
        assert_eq!(response.status, 204, "{response:?}");
        assert_eq!(response.header("range"), Some(range.as_str()));
    }

    /// Everything acknowledged is there, byte for byte, and nothing else is listed.
    pub(crate) fn verify(&self) {
        let list = self.client.get(&self.target("tags/list?n=100000")).json();
        let listed: Vec<&str> = list["tags"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tag| tag.as_str().unwrap())
            .collect();
        let expected: Vec<&String> = self.images.keys().collect();
        assert_eq!(listed, expected);
        for (tag, image) in &self.images {
            let found = self.client.get(&self.target(&format!("manifests/{tag}")));
            assert_eq!(found.status, 200, "{tag}");
            assert!(found.body == image.body, "{tag} has other bytes");
            for digest in &image.blobs {
                let blob = self.client.get(&self.target(&format!("blobs/{digest}")));
                assert_eq!(blob.status, 200, "{tag}: {digest}");
                assert_eq!(Digest::of(digest.algorithm(), &blob.body), *digest, "{tag}");
            }
        }
    }

    /// How many tags there are.
    pub(crate) fn len(&self) -> usize {
        self.images.len()
    }
}

/// Bytes that nothing else has.
fn fresh(size: usize) -> Vec<u8> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    content(NEXT.fetch_add(1, Ordering::Relaxed), size)
}

fn expect(response: Response, status: u16) -> Result<Response, Response> {
    if response.status == status {
        Ok(response)
    } else {
        Err(response)
    }
}

fn location(response: &Response) -> String {
    response.header("location").unwrap().to_owned()
}

/// The refusal is the one for a full disk: clear to people and programs, with the time to try again.
pub(crate) fn is_out_of_space(refusal: &Response) {
    assert_eq!(refusal.status, 507, "{refusal:?}");
    assert_eq!(refusal.error_code(), "DENIED");
    let message = refusal.json()["errors"][0]["message"].to_string();
    assert!(message.contains("space"), "{message}");
    assert!(has_time_to_try_again(refusal), "{refusal:?}");
}

/// The refusal is the one after a fault of the disk.
pub(crate) fn is_read_only(refusal: &Response) {
    assert_eq!(refusal.status, 503, "{refusal:?}");
    assert!(refusal.json()["errors"][0]["message"].is_string());
    assert!(has_time_to_try_again(refusal), "{refusal:?}");
}

fn has_time_to_try_again(refusal: &Response) -> bool {
    let after = refusal.header("retry-after");
    after.is_some_and(|seconds| seconds.parse().is_ok_and(|seconds: u32| seconds > 0))
}
