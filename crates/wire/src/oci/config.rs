//! Configurations of images (image-spec, "OCI Image Configuration"): what they run on.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What an image runs on, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImagePlatform {
    /// Such as `amd64`.
    pub architecture: Option<Box<str>>,
    /// Such as `linux`.
    pub os: Option<Box<str>>,
}

impl ImagePlatform {
    /// The longest configuration that is looked at, in bytes.
    pub const MAX_CONFIG: u64 = 4 << 20;
    /// The longest word, in bytes.
    const MAX_WORD: usize = 64;

    /// What a configuration says. One that cannot be read says nothing, and so does a word that nobody would write: nothing is
    /// refused for it.
    pub fn of_config(config: &[u8]) -> Self {
        let is_config = config.len() as u64 <= Self::MAX_CONFIG
            && config.trim_ascii_start().first() == Some(&b'{');
        let Some(Ok(config)) = is_config.then(|| serde_json::from_slice::<Config>(config)) else {
            return Self::default();
        };
        let word = |word: Option<Word>| word.and_then(|word| word.0);
        Self {
            architecture: word(config.architecture),
            os: word(config.os),
        }
    }

    /// A word as it is kept.
    pub fn word(text: &str) -> Option<Box<str>> {
        let is_word = (1..=Self::MAX_WORD).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_word.then(|| text.into())
    }
}

#[derive(Deserialize)]
struct Config {
    architecture: Option<Word>,
    os: Option<Word>,
}

/// A value that should be a word. Anything else is skipped, and takes no memory.
struct Word(Option<Box<str>>);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Word;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Word, E> {
                Ok(Word(ImagePlatform::word(text)))
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Word, E> {
                Ok(Word(None))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Word, E> {
                Ok(Word(None))
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Word, E> {
                Ok(Word(None))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Word, E> {
                Ok(Word(None))
            }

            fn visit_unit<E: Error>(self) -> Result<Word, E> {
                Ok(Word(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Word, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Word(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Word, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Word(None))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_says_what_its_image_runs_on() {
        let of = |text: &str| {
            let platform = ImagePlatform::of_config(text.as_bytes());
            let text = |word: Option<Box<str>>| word.unwrap_or_else(|| "-".into());
            format!("{}/{}", text(platform.os), text(platform.architecture))
        };
        let whole = r#"{"architecture":"arm64","os":"linux","config":{"Env":["a=b"]},"rootfs":{}}"#;
        assert_eq!(of(whole), "linux/arm64");
        assert_eq!(of(r#" {"os":"linux"}"#), "linux/-");
        assert_eq!(of(r#"{"os":7,"architecture":["a"]}"#), "-/-");
        assert_eq!(of(r#"{"os":"li nux","architecture":""}"#), "-/-");
        assert_eq!(
            of(r#"{"os":"a","os":"b"}"#),
            "-/-",
            "two readers, two answers"
        );
        assert_eq!(of(r#"["amd64","linux"]"#), "-/-");
        assert_eq!(of("config"), "-/-");
        let deep = format!(r#"{{"x":{}}}"#, "[".repeat(100_000));
        assert_eq!(of(&deep), "-/-");
        let long = format!(r#"{{"os":"{}"}}"#, "x".repeat(65));
        assert_eq!(of(&long), "-/-");
    }
}
