//! Changeable attributes: what may be done with a repository, a tag or a manifest, and notes on it.

use serde::Deserialize;

/// One of the four things that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Flag {
    /// `deleteEnabled`: it may be deleted.
    Delete = 1,
    /// `writeEnabled`: it may be changed, and deleted.
    Write = 1 << 1,
    /// `readEnabled`: it may be pulled.
    Read = 1 << 2,
    /// `listEnabled`: listings show it.
    List = 1 << 3,
}

impl Flag {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Delete, Self::Write, Self::Read, Self::List];

    /// Its name in bodies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "deleteEnabled",
            Self::Write => "writeEnabled",
            Self::Read => "readEnabled",
            Self::List => "listEnabled",
        }
    }
}

/// What is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flags(u8);

impl Default for Flags {
    fn default() -> Self {
        Self::ALL
    }
}

impl Flags {
    /// Everything: what holds where nothing was said.
    pub const ALL: Self = Self(0b1111);

    /// Whether it is switched on.
    pub const fn has(self, flag: Flag) -> bool {
        self.0 & flag as u8 != 0
    }

    /// With one switched on or off.
    #[must_use]
    pub const fn with(self, flag: Flag, is_on: bool) -> Self {
        if is_on {
            Self(self.0 | flag as u8)
        } else {
            Self(self.0 & !(flag as u8))
        }
    }

    /// The stored form.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Reads the stored form; bits that mean nothing are left out.
    pub const fn from_bits(bits: i64) -> Self {
        Self((bits & 0b1111) as u8)
    }
}

/// What a `PATCH` changes. What is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AttributesChange {
    /// In the order of [`Flag::ALL`].
    flags: [Option<bool>; 4],
    /// What a scanner says of it: `Passed`, `Failed` or another word.
    pub quarantine_state: Option<String>,
    /// More from the scanner: a JSON text, kept as it came.
    pub quarantine_details: Option<String>,
}

/// Why the body of a `PATCH` is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttributesError {
    /// Not an object of the known attributes.
    #[error("the body must be a JSON object of attributes: {0}")]
    Malformed(String),
    /// A text is longer than allowed, in bytes.
    #[error("{name} is longer than {limit} bytes")]
    TooLong {
        /// Which.
        name: &'static str,
        /// How long it may be.
        limit: usize,
    },
    /// Artifact streaming, which this registry does not have.
    #[error("teleportEnabled cannot be true: artifact streaming is not available in this version")]
    Streaming,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    delete_enabled: Option<bool>,
    write_enabled: Option<bool>,
    read_enabled: Option<bool>,
    list_enabled: Option<bool>,
    teleport_enabled: Option<bool>,
    quarantine_state: Option<String>,
    quarantine_details: Option<String>,
}

impl AttributesChange {
    /// The longest body, in bytes.
    pub const MAX_BODY: usize = 64 * 1024;
    /// The longest state, in bytes.
    pub const MAX_STATE: usize = 64;
    /// The longest details, in bytes.
    pub const MAX_DETAILS: usize = 16 * 1024;

    /// Reads the body of a `PATCH`. An attribute that is null, or not there, stays as it is.
    pub fn parse(body: &[u8]) -> Result<Self, AttributesError> {
        let malformed = |problem: &str| {
            let end = (0..=200.min(problem.len())).rfind(|at| problem.is_char_boundary(*at));
            AttributesError::Malformed(problem[..end.unwrap_or(0)].to_owned())
        };
        if body.len() > Self::MAX_BODY {
            return Err(malformed("it is too long"));
        }
        // A list of values would be taken for an object's, in the order of its fields.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(malformed("it does not begin with {"));
        }
        let body: Body =
            serde_json::from_slice(body).map_err(|error| malformed(&error.to_string()))?;
        if body.teleport_enabled == Some(true) {
            return Err(AttributesError::Streaming);
        }
        let check = |name, text: &Option<String>, limit| match text {
            Some(text) if text.len() > limit => Err(AttributesError::TooLong { name, limit }),
            _ => Ok(()),
        };
        check("quarantineState", &body.quarantine_state, Self::MAX_STATE)?;
        check(
            "quarantineDetails",
            &body.quarantine_details,
            Self::MAX_DETAILS,
        )?;
        let has_nul = |text: &Option<String>| text.as_ref().is_some_and(|t| t.contains('\0'));
        if has_nul(&body.quarantine_state) || has_nul(&body.quarantine_details) {
            return Err(malformed("a text holds a NUL character"));
        }
        Ok(Self {
            flags: [
                body.delete_enabled,
                body.write_enabled,
                body.read_enabled,
                body.list_enabled,
            ],
            quarantine_state: body.quarantine_state,
            quarantine_details: body.quarantine_details,
        })
    }

    /// Also switches one on or off.
    #[must_use]
    pub fn with(mut self, flag: Flag, is_on: bool) -> Self {
        for (slot, known) in self.flags.iter_mut().zip(Flag::ALL) {
            if known == flag {
                *slot = Some(is_on);
            }
        }
        self
    }

    /// Whether it says anything of quarantine, which repositories do not have.
    pub const fn is_about_quarantine(&self) -> bool {
        self.quarantine_state.is_some() || self.quarantine_details.is_some()
    }

    /// The flags after the change.
    pub fn apply_to(&self, flags: Flags) -> Flags {
        let changes = Flag::ALL.into_iter().zip(self.flags);
        changes.fold(flags, |flags, (flag, change)| match change {
            Some(is_on) => flags.with(flag, is_on),
            None => flags,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_not_said_stays() {
        let change = AttributesChange::parse(br#" {"writeEnabled":false,"readEnabled":null}"#);
        let flags = change.unwrap().apply_to(Flags::ALL.with(Flag::List, false));
        let on: Vec<_> = Flag::ALL.map(|flag| flags.has(flag)).into();
        assert_eq!(on, [true, false, true, false]);
        assert_eq!(Flags::from_bits(i64::from(flags.bits())), flags);
        let nothing = AttributesChange::parse(b"{}").unwrap();
        assert_eq!(nothing, AttributesChange::default());
        assert!(!nothing.is_about_quarantine());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for body in [
            &b""[..],
            b"null",
            b"[false,false,false,false,null,null,null]",
            br#"{"writeEnabled":"no"}"#,
            br#"{"writeEnabled":0}"#,
            br#"{"writeenabled":false}"#,
            br#"{"writeEnabled":false,"writeEnabled":true}"#,
            br#"{"writeEnabled":false} {}"#,
            br#"{"quarantineState":"a\u0000"}"#,
        ] {
            let outcome = AttributesChange::parse(body);
            assert!(
                matches!(outcome, Err(AttributesError::Malformed(_))),
                "{outcome:?}"
            );
        }
        let streaming = AttributesChange::parse(br#"{"teleportEnabled":true}"#);
        assert_eq!(streaming, Err(AttributesError::Streaming));
        assert!(AttributesChange::parse(br#"{"teleportEnabled":false}"#).is_ok());
        let long = format!(r#"{{"quarantineState":"{}"}}"#, "x".repeat(65));
        let outcome = AttributesChange::parse(long.as_bytes());
        assert!(matches!(outcome, Err(AttributesError::TooLong { .. })));
    }
}
