//! From an address such as `s3://bucket/folder` to a bucket.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};

use super::Bucket;

/// Whose protocol a bucket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Amazon S3, and what is compatible with it.
    S3,
    /// Azure Blob Storage.
    Azure,
    /// Google Cloud Storage.
    Gcs,
}

/// Where a bucket is: `s3://bucket/folder`, `az://container/folder` or `gs://bucket/folder`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketUrl {
    /// Whose protocol it speaks.
    pub provider: Provider,
    /// Name of the bucket or container.
    pub bucket: String,
    /// The folder in it; empty: all of it.
    pub prefix: String,
}

impl BucketUrl {
    /// Reads an address. `None`: it is none of the three forms.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let provider = match scheme {
            "s3" => Provider::S3,
            "az" => Provider::Azure,
            "gs" => Provider::Gcs,
            _ => return None,
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_folder = |part: &str| {
            !part.is_empty() && part.bytes().all(is_name) && part != "." && part != ".."
        };
        let is_sound = !bucket.is_empty()
            && bucket.len() <= 222
            && bucket.bytes().all(is_name)
            && (prefix.is_empty() || prefix.split('/').all(is_folder))
            && prefix.len() <= 512;
        is_sound.then(|| Self {
            provider,
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

/// How to reach a bucket. What is not given comes from the environment variables of its provider, files they name and the
/// machine's identity (workload identity, instance metadata).
#[derive(Clone, Default)]
pub struct Access {
    /// The service's address, for one that is not the provider's own.
    pub endpoint: Option<String>,
    /// The region to sign for (S3).
    pub region: Option<String>,
    /// The access key's name; for Azure the storage account.
    pub access_key: Option<String>,
    /// Its secret; for Azure the account key.
    pub secret_key: Option<String>,
    /// A shared access signature (Azure), in place of the account key.
    pub sas_token: Option<String>,
    /// Certificate authorities of the service, in PEM, beside those of the system.
    pub authorities: Option<Vec<u8>>,
    /// How long an answer is waited for.
    pub patience: Patience,
}

/// How long an answer is waited for: one is owed to a client who waits.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long a call is tried again after failures.
    pub retries: Duration,
    /// How long the service may be silent, from the request to its answer and between two pieces of it. Has to be enough
    /// for a part to be sent.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            retries: Duration::from_secs(20),
            silence: Duration::from_secs(30),
        }
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// The bucket cannot be used as configured.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(String);

impl From<object_store::Error> for ConnectError {
    fn from(error: object_store::Error) -> Self {
        Self(error.to_string())
    }
}

/// How often a call is tried again, and for how long.
fn retry(patience: Patience) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(3),
            base: 2.0,
        },
        max_retries: 8,
        retry_timeout: patience.retries,
    }
}

fn client(access: &Access) -> Result<ClientOptions, ConnectError> {
    let is_plain = access
        .endpoint
        .as_deref()
        .is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut options = ClientOptions::new()
        .with_allow_http(is_plain)
        .with_connect_timeout(Duration::from_secs(5))
        // From one piece of an answer to the next. The whole may take as long as a large blob does.
        .with_read_timeout(access.patience.silence)
        .with_timeout_disabled()
        .with_pool_idle_timeout(Duration::from_secs(30));
    if let Some(authorities) = &access.authorities {
        for authority in Certificate::from_pem_bundle(authorities)? {
            options = options.with_root_certificate(authority);
        }
    }
    Ok(options)
}

impl Bucket {
    /// Prepares for a bucket. Nothing is sent yet.
    pub fn connect(url: &BucketUrl, access: &Access) -> Result<Self, ConnectError> {
        let client = client(access)?;
        let endpoint = access
            .endpoint
            .as_deref()
            .map(|endpoint| endpoint.trim_end_matches('/').to_owned());
        match url.provider {
            Provider::S3 => {
                let mut builder = AmazonS3Builder::from_env()
                    .with_bucket_name(&url.bucket)
                    .with_client_options(client)
                    .with_retry(retry(access.patience));
                if let Some(endpoint) = endpoint {
                    builder = builder
                        .with_endpoint(endpoint)
                        .with_virtual_hosted_style_request(false);
                }
                if let Some(region) = &access.region {
                    builder = builder.with_region(region);
                }
                if let (Some(key), Some(secret)) = (&access.access_key, &access.secret_key) {
                    builder = builder
                        .with_access_key_id(key)
                        .with_secret_access_key(secret);
                }
                Ok(Self::signing(Arc::new(builder.build()?)))
            }
            Provider::Azure => {
                let mut builder = MicrosoftAzureBuilder::from_env()
                    .with_container_name(&url.bucket)
                    .with_client_options(client)
                    .with_retry(retry(access.patience));
                if let Some(endpoint) = endpoint {
                    builder = builder.with_endpoint(endpoint);
                }
                if let Some(account) = &access.access_key {
                    builder = builder.with_account(account);
                }
                if let Some(secret) = &access.secret_key {
                    builder = builder.with_access_key(secret);
                }
                if let Some(token) = &access.sas_token {
                    builder = builder.with_config(AzureConfigKey::SasKey, token);
                }
                Ok(Self::signing(Arc::new(builder.build()?)))
            }
            Provider::Gcs => {
                let mut builder = GoogleCloudStorageBuilder::from_env()
                    .with_bucket_name(&url.bucket)
                    .with_client_options(client)
                    .with_retry(retry(access.patience));
                if let Some(endpoint) = endpoint {
                    builder = builder.with_base_url(&endpoint);
                }
                Ok(Self::signing(Arc::new(builder.build()?)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_name_provider_bucket_and_folder() {
        let parse =
            |text: &str| BucketUrl::parse(text).map(|url| (url.provider, url.bucket, url.prefix));
        let expected = |provider, bucket: &str, prefix: &str| {
            Some((provider, bucket.to_owned(), prefix.to_owned()))
        };
        assert_eq!(parse("s3://b"), expected(Provider::S3, "b", ""));
        assert_eq!(parse("az://c/"), expected(Provider::Azure, "c", ""));
        assert_eq!(
            parse("gs://a.b/x/y/"),
            expected(Provider::Gcs, "a.b", "x/y")
        );
        for wrong in [
            "",
            "s3",
            "s3://",
            "s3:///x",
            "http://b",
            "s3://b/../x",
            "s3://b//x",
            "s3://b?x",
            "s3://a b",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_made_of_plain_names(text in "(s3|az|gs|x)://[ -~]{0,40}") {
            if let Some(url) = BucketUrl::parse(&text) {
                prop_assert!(!url.prefix.split('/').any(|part| part == ".."));
                prop_assert!(text.contains(&url.bucket) && text.contains(&url.prefix));
            }
        }
    }
}
