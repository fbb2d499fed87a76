//! The types of the settings for object stores.

use lazuli_blobs::BucketUrl;

use super::value::{Kind, Setting, quoted, refusal};

/// Where blobs are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StorageUrl {
    /// `disk`: in the data folder.
    Disk,
    /// A bucket.
    Bucket { url: BucketUrl, text: String },
}

impl Setting for StorageUrl {
    const KIND: Kind = Kind::new(
        "URL",
        "\"disk\", s3://bucket/folder, az://container/folder or gs://bucket/folder",
    );

    fn from_text(text: &str) -> Result<Self, String> {
        if text == "disk" {
            return Ok(Self::Disk);
        }
        let url = BucketUrl::parse(text);
        let url = url.ok_or_else(|| refusal::<Self>(&format!("\"{text}\"")))?;
        Ok(Self::Bucket {
            url,
            text: text.to_owned(),
        })
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(match self {
            Self::Disk => "disk",
            Self::Bucket { text, .. } => text,
        }))
    }
}

/// The address of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceUrl(pub(crate) String);

impl Setting for ServiceUrl {
    const KIND: Kind = Kind::new(
        "URL",
        "a URL such as https://s3.example.com or http://127.0.0.1:9000",
    );

    fn from_text(text: &str) -> Result<Self, String> {
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        let is_sound = rest.is_some_and(|rest| {
            !rest.is_empty()
                && !rest.starts_with('/')
                && rest.bytes().all(|byte| byte.is_ascii_graphic())
                && !rest.contains(['?', '#', '@', '\\'])
        });
        if is_sound {
            Ok(Self(text.to_owned()))
        } else {
            Err(refusal::<Self>("this"))
        }
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

/// The name of an access key or of a storage account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessKey(pub(crate) String);

impl Setting for AccessKey {
    const KIND: Kind = Kind::new("NAME", "the name of an access key");

    fn from_text(text: &str) -> Result<Self, String> {
        if !text.is_empty() && text.len() <= 256 && text.bytes().all(|byte| byte.is_ascii_graphic())
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(refusal::<Self>("this"))
        }
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

/// The name of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Region(pub(crate) String);

impl Setting for Region {
    const KIND: Kind = Kind::new("REGION", "a name such as eu-central-1");

    fn from_text(text: &str) -> Result<Self, String> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !text.is_empty() && text.len() <= 64 && text.bytes().all(is_name) {
            Ok(Self(text.to_owned()))
        } else {
            Err(refusal::<Self>(&format!("\"{text}\"")))
        }
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn places_of_blobs_are_read_and_written() {
        assert_eq!(StorageUrl::from_text("disk"), Ok(StorageUrl::Disk));
        let bucket = StorageUrl::from_text("s3://b/f").unwrap();
        assert_eq!(bucket.to_toml().unwrap(), "\"s3://b/f\"");
        for wrong in ["", "Disk", "s3:", "file:///x", "s3://b/../x"] {
            assert!(StorageUrl::from_text(wrong).is_err(), "{wrong}");
        }
        assert!(ServiceUrl::from_text("http://127.0.0.1:9000").is_ok());
        assert!(ServiceUrl::from_text("http://127.0.0.1:10000/devstoreaccount1").is_ok());
        for wrong in [
            "",
            "s3.example.com",
            "http://",
            "http://u:p@h",
            "https:///x",
            "http://h?x",
        ] {
            assert!(ServiceUrl::from_text(wrong).is_err(), "{wrong}");
        }
        assert!(Region::from_text("eu-central-1").is_ok());
        assert!(Region::from_text("eu central").is_err());
    }
}
