//! The configuration: one TOML file, every key also by variable and by flag.
//! Precedence: flag, then environment, then file, then default. What no key knows is refused.

mod key;
#[allow(
    rustdoc::bare_urls,
    reason = "its comments are the help texts, which are not Markdown"
)]
mod keys;
mod kinds;
mod print;
mod reference;
mod sources;
mod storage_kinds;
mod suggest;
mod value;
mod words;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

pub(crate) use key::{Key, Mark};
pub(crate) use keys::{KEYS, Log, SECTIONS, Settings};
pub(crate) use kinds::{CertificateName, DatabaseUrl, is_host_name};
pub(crate) use reference::markdown;
pub(crate) use storage_kinds::StorageUrl;
pub(crate) use words::{LogFormat, QuotaTier};

use sources::{CONFIG_VARIABLE, Origin, Problem, Values};

/// The name of the file that is looked for when none is named.
const FILE_NAME: &str = "lazuli.toml";

/// What the process was started with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    pub(crate) flags: Vec<(&'static Key, String)>,
    /// `--config`
    pub(crate) file: Option<PathBuf>,
    pub(crate) variables: Vec<(OsString, OsString)>,
}

/// The effective configuration and where each value came from.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) settings: Settings,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
    values: Values,
}

/// Everything that is wrong with the configuration.
#[derive(Debug)]
pub(crate) struct Invalid(Vec<Problem>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is not valid")?;
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Invalid {}

impl Configuration {
    /// Reads and checks every source. All problems are reported at once.
    pub(crate) fn load(given: &Given) -> Result<Configuration, Invalid> {
        let mut values = Values::default();
        let file = find_file(given, &mut values);
        if let Some((path, text, in_data_dir)) = &file {
            values.read_file(path, text);
            if *in_data_dir && values.origin("data_dir") != Origin::Default {
                let place = values.origin("data_dir");
                values.problem(
                    Some(place),
                    "data_dir cannot be set by a file that was found in the data folder",
                );
            }
        }
        values.read_environment(&given.variables);
        values.read_flags(&given.flags);
        let settings = Settings::read(&mut values);
        if let Some(settings) = &settings {
            check(settings, &mut values);
        }
        match settings {
            Some(settings) if values.problems.is_empty() => Ok(Configuration {
                settings,
                file: file.map(|(path, ..)| path),
                values,
            }),
            _ => Err(Invalid(values.problems)),
        }
    }

    /// Who set the value of a key.
    pub(crate) fn origin(&self, name: &str) -> Origin {
        self.values.origin(name)
    }

    /// Whether anybody set a key.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.origin(name) != Origin::Default
    }

    /// The keys whose values differ in `other`.
    pub(crate) fn changed_keys(&self, other: &Configuration) -> Vec<&'static Key> {
        let (mine, others) = (self.settings.as_toml(), other.settings.as_toml());
        mine.into_iter()
            .zip(others)
            .filter(|(a, b)| a.1 != b.1)
            .map(|((key, _), _)| key)
            .collect()
    }
}

/// The configuration file: the named one, which must be there, else the one in the data folder, else the one in the
/// current folder. With whether it was found in the data folder.
fn find_file(given: &Given, values: &mut Values) -> Option<(PathBuf, String, bool)> {
    let variable = |name: &str| {
        let found = given
            .variables
            .iter()
            .find(|(n, value)| n == name && !value.is_empty());
        found.map(|(_, value)| PathBuf::from(value))
    };
    if let Some(path) = given.file.clone().or_else(|| variable(CONFIG_VARIABLE)) {
        return match std::fs::read_to_string(&path) {
            Ok(text) => Some((path, text, false)),
            Err(error) => {
                values.problem(
                    None,
                    format!(
                        "cannot read the configuration file {}: {error}",
                        path.display()
                    ),
                );
                None
            }
        };
    }
    let key = Key::find("data_dir")?;
    let by_flag = given
        .flags
        .iter()
        .rev()
        .find(|(k, _)| k.name == key.name)
        .map(|(_, text)| PathBuf::from(text));
    let data_dir = by_flag
        .or_else(|| variable(&key.variable()))
        .unwrap_or_else(|| PathBuf::from(key.default));
    for (path, in_data_dir) in [
        (data_dir.join(FILE_NAME), true),
        (PathBuf::from(FILE_NAME), false),
    ] {
        match std::fs::read_to_string(&path) {
            Ok(text) => return Some((path, text, in_data_dir)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {}
            Err(error) => {
                values.problem(
                    None,
                    format!(
                        "cannot read the configuration file {}: {error}",
                        path.display()
                    ),
                );
                return None;
            }
        }
    }
    None
}

/// What a key cannot know by itself.
fn check(settings: &Settings, values: &mut Values) {
    let general = &settings.general;
    match (general.http.address(), general.https.address()) {
        (None, None) => values.problem(None, "http and https are both off: nothing would listen"),
        (Some(http), Some(https)) if http == https && http.port() != 0 => {
            values.problem(
                Some(values.origin("https")),
                format!("http and https cannot both listen on {http}"),
            );
        }
        _ => {}
    }
    match (&settings.tls.certificate, &settings.tls.key) {
        (Some(_), None) => {
            values.problem(
                Some(values.origin("tls.certificate")),
                "tls.certificate needs tls.key, its private key",
            );
        }
        (None, Some(_)) => {
            values.problem(
                Some(values.origin("tls.key")),
                "tls.key needs tls.certificate, its certificate chain",
            );
        }
        _ => {}
    }
}

/// A path for messages: absolute where that is known.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
impl Given {
    /// These keys on the command line, and no file.
    #[allow(clippy::unwrap_used)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        Self {
            flags: pairs
                .iter()
                .map(|(name, text)| (Key::find(name).unwrap(), (*text).to_owned()))
                .collect(),
            file: Some("/dev/null".into()),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests;
