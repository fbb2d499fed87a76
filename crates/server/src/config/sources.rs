//! Where values come from: file, environment, flags. Each source puts raw values under known keys; what it says that
//! no key knows is a problem with a hint.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::key::{Key, Mark};
use super::keys::{KEYS, SECTIONS};
use super::suggest::nearest;
use super::value::{Raw, Setting};

/// The variable that names the configuration file.
pub(crate) const CONFIG_VARIABLE: &str = "LAZULI_CONFIG";

/// Who set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Variable(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Variable(name) => write!(f, "environment {name}"),
            Origin::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// Something wrong with the configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) place: Option<Origin>,
    pub(crate) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Raw values by key, and the problems met so far.
#[derive(Default)]
pub(crate) struct Values {
    values: BTreeMap<&'static str, (Raw, Origin)>,
    pub(crate) problems: Vec<Problem>,
}

/// Without the values: some are secret.
impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values.keys()).finish()
    }
}

impl Values {
    /// Sets a value, over one that an earlier source set: sources are read from the weakest to the strongest.
    pub(super) fn set(&mut self, key: &'static Key, raw: Raw, origin: Origin) {
        self.values.insert(key.name, (raw, origin));
    }

    pub(crate) fn origin(&self, name: &str) -> Origin {
        self.values
            .get(name)
            .map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    pub(super) fn problem(&mut self, place: Option<Origin>, message: impl Into<String>) {
        self.problems.push(Problem {
            place,
            message: message.into(),
        });
    }

    /// The value of a key as its type; a problem and `None` if it is none of that type.
    pub(super) fn typed<T: Setting>(&mut self, name: &'static str) -> Option<T> {
        let (read, origin) = match self.values.get(name) {
            Some((raw, origin)) => (T::from_raw(raw), origin.clone()),
            None => (
                T::from_text(Key::find(name).map_or("", |key| key.default)),
                Origin::Default,
            ),
        };
        read.map_err(|message| self.problem(Some(origin), format!("{name}: {message}")))
            .ok()
    }

    /// Like [`Values::typed`], and at least `min`, at most `max`.
    pub(super) fn typed_within<T: Setting + PartialOrd>(
        &mut self,
        name: &'static str,
        min: &str,
        max: &str,
    ) -> Option<T> {
        let value: T = self.typed(name)?;
        let inside = T::from_text(min).is_ok_and(|min| min <= value)
            && T::from_text(max).is_ok_and(|max| value <= max);
        if inside {
            return Some(value);
        }
        let shown = value.to_toml().unwrap_or_default();
        self.problem(
            Some(self.origin(name)),
            format!("{name}: {shown} is outside of {min} to {max}"),
        );
        None
    }

    /// Reads a TOML file.
    pub(super) fn read_file(&mut self, path: &Path, text: &str) {
        let place = |at: usize| Origin::File {
            path: path.to_owned(),
            line: line_of(text, at),
        };
        match DeTable::parse(text) {
            Ok(table) => self.read_table("", table.get_ref(), path, &place),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                self.problem(Some(place(at)), format!("not TOML: {}", error.message()));
            }
        }
    }

    fn read_table(
        &mut self,
        prefix: &str,
        table: &DeTable<'_>,
        path: &Path,
        place: &impl Fn(usize) -> Origin,
    ) {
        for (written, value) in table {
            let name = format!("{prefix}{}", written.get_ref());
            let origin = place(written.span().start);
            match (Key::find(&name), value.get_ref()) {
                (Some(key), _) if key.is(Mark::EnvOnly) => {
                    self.problem(
                        Some(origin),
                        format!(
                            "{name} can only be set by the variable {}: a file gets copied",
                            key.variable()
                        ),
                    );
                }
                (Some(key), value) => match raw_of(value) {
                    Some(raw) => self.set(key, beside(path, key, raw), origin),
                    None => {
                        self.problem(Some(origin), format!("{name}: expected {}", key.kind.form));
                    }
                },
                (None, DeValue::Table(inner)) if !inner.is_empty() => {
                    self.read_table(&format!("{name}."), inner, path, place);
                }
                (None, DeValue::Table(_)) if is_section(&name) => {}
                (None, _) if is_section(&name) => {
                    self.problem(
                        Some(origin),
                        format!("{name} is a section: write [{name}] and its keys below"),
                    );
                }
                (None, _) => {
                    let hint = hint(nearest(&name, known_names()));
                    self.problem(Some(origin), format!("unknown key {name}{hint}"));
                }
            }
        }
    }

    /// Reads the environment: each `LAZULI_…` variable is a key's, or a problem. An empty one counts as not set.
    pub(super) fn read_environment(&mut self, variables: &[(OsString, OsString)]) {
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with("LAZULI_")) else {
                continue;
            };
            if name == CONFIG_VARIABLE || is_service_link(name) || value.is_empty() {
                continue;
            }
            let origin = Origin::Variable(name.to_owned());
            match (
                KEYS.iter().find(|key| key.variable() == name),
                value.to_str(),
            ) {
                (Some(key), Some(text)) => self.set(key, Raw::Text(text.to_owned()), origin),
                (Some(_), None) => self.problem(Some(origin), "not UTF-8"),
                (None, _) => {
                    let names: Vec<String> = KEYS
                        .iter()
                        .map(Key::variable)
                        .chain([CONFIG_VARIABLE.to_owned()])
                        .collect();
                    let hint = hint(nearest(name, names.iter().map(String::as_str)));
                    self.problem(Some(origin), format!("unknown variable{hint}"));
                }
            }
        }
    }

    /// Reads flags, already split into key and text.
    pub(super) fn read_flags(&mut self, flags: &[(&'static Key, String)]) {
        for (key, text) in flags {
            self.set(key, Raw::Text(text.clone()), Origin::Flag(key.flag()));
        }
    }
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || "; `lazuli config` shows every key".to_owned(),
        |name| format!("; did you mean {name}?"),
    )
}

fn known_names() -> impl Iterator<Item = &'static str> {
    KEYS.iter()
        .filter(|key| !key.is(Mark::EnvOnly))
        .map(|key| key.name)
}

fn is_section(name: &str) -> bool {
    !name.is_empty() && SECTIONS.iter().any(|section| section.name == name)
}

/// Kubernetes describes a service called `lazuli` (or `lazuli-…`) to every pod by variables such as
/// `LAZULI_SERVICE_HOST` and `LAZULI_PORT_5000_TCP_ADDR`: nobody's mistake, and no setting.
fn is_service_link(name: &str) -> bool {
    if name.ends_with("_SERVICE_HOST") || name.ends_with("_PORT") || name.contains("_SERVICE_PORT_")
    {
        return true;
    }
    ["_TCP", "_UDP", "_SCTP", "_PROTO", "_ADDR"]
        .iter()
        .any(|end| name.ends_with(end))
        && name.contains("_PORT_")
}

/// A relative path in a file means a path beside the file.
fn beside(file: &Path, key: &Key, raw: Raw) -> Raw {
    match (raw, file.parent()) {
        (Raw::Text(text), Some(folder)) if key.kind.path && !text.is_empty() => {
            Raw::Text(folder.join(text).to_string_lossy().into_owned())
        }
        (raw, _) => raw,
    }
}

fn raw_of(value: &DeValue<'_>) -> Option<Raw> {
    match value {
        DeValue::String(text) => Some(Raw::Text(text.to_string())),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(Raw::Integer),
        DeValue::Boolean(boolean) => Some(Raw::Boolean(*boolean)),
        DeValue::Array(items) => items
            .iter()
            .map(|item| raw_of(item.get_ref()))
            .collect::<Option<_>>()
            .map(Raw::List),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()
        .iter()
        .take(at)
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;
