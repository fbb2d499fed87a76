//! How a setting is written: each type here reads itself from text (environment, flag, TOML string) or from a TOML
//! number, boolean or list, and writes itself back as TOML.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// A value as one of the sources gave it, before its type is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Raw {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Raw>),
}

impl Raw {
    fn describe(&self) -> String {
        match self {
            Raw::Text(text) => format!("\"{text}\""),
            Raw::Integer(number) => number.to_string(),
            Raw::Boolean(boolean) => boolean.to_string(),
            Raw::List(_) => "a list".to_owned(),
        }
    }
}

/// The type of a setting, as the documentation and the flags name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// The word in `--flag <WORD>`.
    pub(crate) word: &'static str,
    /// What a valid value looks like, with an example; ends an error message.
    pub(crate) form: &'static str,
    /// A flag of this kind may stand alone (`--anonymous-pull`).
    pub(crate) switch: bool,
    /// A relative path in a file is relative to the file's folder.
    pub(crate) path: bool,
}

impl Kind {
    pub(crate) const fn new(word: &'static str, form: &'static str) -> Kind {
        Kind {
            word,
            form,
            switch: false,
            path: false,
        }
    }
}

/// A type that a setting can have.
pub(crate) trait Setting: Sized {
    const KIND: Kind;

    /// Reads the text of a variable, a flag or a TOML string. The message, if any, adds to [`Kind::form`].
    fn from_text(text: &str) -> Result<Self, String>;

    fn from_raw(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Text(text) => Self::from_text(text),
            other => Err(refusal::<Self>(&other.describe())),
        }
    }

    /// The value as TOML; `None` when it is not set.
    fn to_toml(&self) -> Option<String>;
}

/// The usual message: what was found, and what was expected.
pub(crate) fn refusal<T: Setting>(found: &str) -> String {
    format!("{found} is not {}", T::KIND.form)
}

/// A TOML basic string.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl Setting for bool {
    const KIND: Kind = Kind {
        switch: true,
        ..Kind::new("BOOL", "true or false")
    };

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            other => Err(refusal::<Self>(&format!("\"{other}\""))),
        }
    }

    fn from_raw(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Boolean(boolean) => Ok(*boolean),
            Raw::Text(text) => Self::from_text(text),
            other => Err(refusal::<Self>(&other.describe())),
        }
    }

    fn to_toml(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for u32 {
    const KIND: Kind = Kind::new("NUMBER", "a whole number from 0 to 4294967295, such as 64");

    fn from_text(text: &str) -> Result<Self, String> {
        text.replace('_', "")
            .parse()
            .map_err(|_| refusal::<Self>(&format!("\"{text}\"")))
    }

    fn from_raw(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Integer(number) => {
                u32::try_from(*number).map_err(|_| refusal::<Self>(&raw.describe()))
            }
            Raw::Text(text) => Self::from_text(text),
            other => Err(refusal::<Self>(&other.describe())),
        }
    }

    fn to_toml(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

impl Setting for Size {
    const KIND: Kind = Kind::new("SIZE", "a size, such as 4MiB, 512KiB or a number of bytes");

    fn from_text(text: &str) -> Result<Self, String> {
        let refuse = || refusal::<Self>(&format!("\"{text}\""));
        let trimmed = text.trim();
        let digits = trimmed
            .bytes()
            .take_while(|b| b.is_ascii_digit() || *b == b'_')
            .count();
        let number: u64 = trimmed[..digits]
            .replace('_', "")
            .parse()
            .map_err(|_| refuse())?;
        let unit = trimmed[digits..].trim_start();
        let factor = if unit.is_empty() {
            1
        } else {
            SIZE_UNITS
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))
                .ok_or_else(refuse)?
                .1
        };
        number.checked_mul(factor).map(Size).ok_or_else(refuse)
    }

    fn from_raw(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Integer(number) => u64::try_from(*number)
                .map(Size)
                .map_err(|_| refusal::<Self>(&raw.describe())),
            Raw::Text(text) => Self::from_text(text),
            other => Err(refusal::<Self>(&other.describe())),
        }
    }

    fn to_toml(&self) -> Option<String> {
        let exact = SIZE_UNITS
            .iter()
            .find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        Some(match exact {
            Some((unit, factor)) if *factor > 1 => quoted(&format!("{}{unit}", self.0 / factor)),
            _ => self.0.to_string(),
        })
    }
}

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Period(pub(crate) Duration);

const PERIOD_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl Setting for Period {
    const KIND: Kind = Kind::new("DURATION", "a duration, such as 30s, 24h, 7d or 1h30m");

    fn from_text(text: &str) -> Result<Self, String> {
        let refuse = || refusal::<Self>(&format!("\"{text}\""));
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Period(Duration::ZERO));
        }
        let mut total: u64 = 0;
        let mut parts = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u64 = rest[..digits].parse().map_err(|_| refuse())?;
            rest = rest[digits..].trim_start();
            let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (_, factor) = PERIOD_UNITS
                .iter()
                .find(|(unit, _)| *unit == &rest[..letters])
                .ok_or_else(refuse)?;
            rest = rest[letters..].trim_start();
            total = number
                .checked_mul(*factor)
                .and_then(|n| total.checked_add(n))
                .ok_or_else(refuse)?;
            parts += 1;
        }
        if parts == 0 {
            Err(refuse())
        } else {
            Ok(Period(Duration::from_millis(total)))
        }
    }

    fn to_toml(&self) -> Option<String> {
        let mut left = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let mut out = String::new();
        for (unit, factor) in PERIOD_UNITS {
            if left >= factor {
                let _ = write!(out, "{}{unit}", left / factor);
                left %= factor;
            }
        }
        Some(quoted(if out.is_empty() { "0s" } else { &out }))
    }
}

impl Setting for PathBuf {
    const KIND: Kind = Kind {
        path: true,
        ..Kind::new("PATH", "a path")
    };

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Err("a path must not be empty".to_owned())
        } else {
            Ok(PathBuf::from(text))
        }
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(&self.to_string_lossy()))
    }
}

/// An empty text means "not set".
impl<T: Setting> Setting for Option<T> {
    const KIND: Kind = T::KIND;

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Ok(None)
        } else {
            T::from_text(text).map(Some)
        }
    }

    fn from_raw(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Text(text) => Self::from_text(text),
            other => T::from_raw(other).map(Some),
        }
    }

    fn to_toml(&self) -> Option<String> {
        self.as_ref().and_then(Setting::to_toml)
    }
}

/// In a variable or a flag the items are separated by commas.
impl<T: Setting> Setting for Vec<T> {
    const KIND: Kind = T::KIND;

    fn from_text(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(T::from_text)
            .collect()
    }

    fn from_raw(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::List(items) => items.iter().map(T::from_raw).collect(),
            Raw::Text(text) => Self::from_text(text),
            other => Err(format!(
                "{} is not a list; write [\"…\", \"…\"]",
                other.describe()
            )),
        }
    }

    fn to_toml(&self) -> Option<String> {
        let items: Vec<String> = self.iter().filter_map(Setting::to_toml).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
