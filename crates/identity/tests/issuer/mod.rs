//! An issuer of tokens on this machine, honest or not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    unreachable_pub
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lazuli_identity::{IssuerKind, TrustedIssuer};
use lazuli_wire::Guid;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// What its tokens are for.
pub const AUDIENCE: &str = "api://lazuli";

/// An issuer, with whatever it answers.
pub struct Issuer {
    pub url: String,
    pair: KeyPair,
    answers: Arc<Mutex<Map<String, Value>>>,
    pub asked: Arc<AtomicUsize>,
}

impl Issuer {
    /// An honest one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (answers, asked) = (Arc::new(Mutex::new(Map::new())), Arc::default());
        let issuer = Self {
            pair: KeyPair::generate(KeySize::Rsa2048).unwrap(),
            url,
            answers,
            asked,
        };
        issuer.publish(&issuer.url.clone(), "");
        issuer.set("/keys", json!({ "keys": [issuer.jwk("k1")] }));
        let (answers, asked) = (issuer.answers.clone(), issuer.asked.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                asked.fetch_add(1, Ordering::SeqCst);
                let answer = answers.lock().unwrap().get(&path).cloned();
                let text = match answer {
                    Some(Value::String(raw)) => raw,
                    Some(body) => {
                        let body = body.to_string();
                        format!(
                            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                            body.len()
                        )
                    }
                    None => {
                        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                            .to_owned()
                    }
                };
                let _ = stream.write_all(text.as_bytes()).await;
            }
        });
        issuer
    }

    pub fn set(&self, path: &str, answer: Value) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// A discovery document below a path, of an issuer.
    pub fn publish(&self, issuer: &str, path: &str) {
        let document = json!({ "issuer": issuer, "jwks_uri": format!("{}/keys", self.url) });
        self.set(
            &format!("{path}/.well-known/openid-configuration"),
            document,
        );
    }

    pub fn jwk(&self, kid: &str) -> Value {
        let der = self.pair.public_key().as_ref();
        let n = URL_SAFE_NO_PAD.encode(&der[9..265]);
        json!({ "kty": "RSA", "use": "sig", "kid": kid, "n": n, "e": "AQAB" })
    }

    pub fn sign(&self, kid: &str, claims: &Value) -> String {
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": kid }).to_string();
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let mut signature = vec![0; 256];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message.as_bytes(),
                &mut signature,
            )
            .unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    pub fn trusted(&self, kind: IssuerKind, rules: &Value) -> TrustedIssuer {
        TrustedIssuer {
            name: "it".to_owned(),
            kind,
            issuer: self.url.clone(),
            tenant: Guid::ZERO,
            audiences: vec![AUDIENCE.to_owned()],
            rules: rules.as_object().unwrap().clone(),
            enabled: true,
        }
    }
}
