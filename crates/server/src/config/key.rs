//! What is known of a key besides its value, and the macro that makes everything from one list of keys.

use super::keys::KEYS;
use super::value::Kind;

/// What is special about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Only the environment may set it: files get copied into repositories and images, and everyone on the machine can
    /// read the arguments of a process.
    EnvOnly,
    /// `lazuli config` masks it.
    Secret,
    /// SIGHUP applies a change; every other key needs a restart.
    Reload,
    /// Its flag stands in the short help.
    Common,
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Key {
    /// `section.name`, as TOML writes it.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Written as a variable would be; empty: not set.
    pub(crate) default: &'static str,
    /// The smallest and the largest value, for what has an order.
    pub(crate) range: Option<(&'static str, &'static str)>,
    /// Lines of documentation, each with the leading space of its comment.
    pub(super) doc: &'static [&'static str],
    pub(super) marks: &'static [Mark],
}

impl Key {
    pub(crate) fn find(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }

    pub(crate) fn is(&self, mark: Mark) -> bool {
        self.marks.contains(&mark)
    }

    /// `limits.max_connections` is set by `LAZULI_LIMITS_MAX_CONNECTIONS`.
    pub(crate) fn variable(&self) -> String {
        format!(
            "LAZULI_{}",
            self.name.replace('.', "_").to_ascii_uppercase()
        )
    }

    /// `limits.max_connections` is set by `--limits-max-connections` (here without the hyphens in front).
    pub(crate) fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }

    /// The part before the dot; empty for the keys above every section.
    pub(crate) fn section(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(section, _)| section)
    }

    /// The part after the dot.
    pub(crate) fn leaf(&self) -> &'static str {
        self.name
            .split_once('.')
            .map_or(self.name, |(_, leaf)| leaf)
    }

    /// The documentation as one paragraph.
    pub(crate) fn doc(&self) -> String {
        paragraph(self.doc)
    }
}

fn paragraph(lines: &[&str]) -> String {
    lines
        .iter()
        .map(|line| line.trim())
        .collect::<Vec<_>>()
        .join(" ")
}

/// A group of keys.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(super) doc: &'static [&'static str],
}

impl Section {
    pub(crate) fn doc(&self) -> String {
        paragraph(self.doc)
    }
}

/// The section's name is its prefix without the dot.
pub(super) const fn section_name(prefix: &'static str) -> &'static str {
    match prefix.as_bytes() {
        [] => "",
        bytes => match std::str::from_utf8(bytes.split_at(bytes.len() - 1).0) {
            Ok(name) => name,
            Err(_) => prefix,
        },
    }
}

/// Makes the structs, the tables and the reader of all settings from one list.
macro_rules! settings {
    (@range) => { None };
    (@range $min:literal, $max:literal) => { Some(($min, $max)) };
    (@read $values:ident, $type:ty, $name:expr) => { $values.typed::<$type>($name) };
    (@read $values:ident, $type:ty, $name:expr, $min:literal, $max:literal) => {
        $values.typed_within::<$type>($name, $min, $max)
    };
    ($(
        $(#[doc = $about:literal])+
        $section:ident $prefix:literal $Struct:ident {
            $(
                $(#[doc = $doc:literal])+
                $(@ $mark:ident)*
                $field:ident: $type:ty = $default:literal $(in $min:literal ..= $max:literal)?;
            )*
        }
    )*) => {
        /// The effective configuration.
        #[derive(Clone, Debug)]
        pub(crate) struct Settings {
            $(pub(crate) $section: $Struct,)*
        }

        $(
            $(#[doc = $about])+
            #[derive(Clone, Debug)]
            #[allow(clippy::struct_field_names, reason = "the names are those of the keys")]
            pub(crate) struct $Struct {
                $($(#[doc = $doc])+ pub(crate) $field: $type,)*
            }
        )*

        /// Every key, in the order in which they are printed.
        pub(crate) static KEYS: &[Key] = &[
            $($(
                Key {
                    name: concat!($prefix, stringify!($field)),
                    kind: <$type as Setting>::KIND,
                    default: $default,
                    range: settings!(@range $($min, $max)?),
                    doc: &[$($doc),+],
                    marks: &[$(Mark::$mark),*],
                },
            )*)*
        ];

        /// Every section, in the order in which they are printed.
        pub(crate) static SECTIONS: &[Section] = &[
            $(Section { name: section_name($prefix), doc: &[$($about),+] },)*
        ];

        impl Settings {
            /// Turns the collected values into typed settings. Every value that is none of its type, or out of its
            /// range, becomes a problem of `values`; `None` if there is one.
            pub(super) fn read(values: &mut Values) -> Option<Settings> {
                $($(
                    let $field = settings!(@read values, $type, concat!($prefix, stringify!($field)) $(, $min, $max)?);
                )*
                let $section = (|| Some($Struct { $($field: $field?,)* }))();
                )*
                Some(Settings { $($section: $section?,)* })
            }

            /// Every key with its value as TOML; `None` for one that is not set.
            pub(super) fn as_toml(&self) -> Vec<(&'static Key, Option<String>)> {
                let values = [$($(self.$section.$field.to_toml(),)*)*];
                KEYS.iter().zip(values).collect()
            }
        }
    };
}

pub(super) use settings;
