//! `lazuli config`: the effective configuration as TOML, with the origin of each value as a comment.

use std::fmt::Write as _;

use super::{Configuration, Mark, Origin};

impl Configuration {
    /// TOML that, read as a file, gives the same configuration (apart from masked secrets and what only the
    /// environment may set, which stand as comments).
    pub(crate) fn to_toml(&self) -> String {
        let mut out =
            String::from("# The effective configuration; after each value, who set it.\n");
        match &self.file {
            Some(path) => {
                let _ = writeln!(out, "# File: {}", super::absolute(path).display());
            }
            None => out.push_str("# File: none\n"),
        }
        out.push('\n');
        let mut section = "";
        for (key, value) in self.settings.as_toml() {
            if key.section() != section {
                section = key.section();
                let _ = writeln!(out, "\n[{section}]");
            }
            let line = match value {
                Some(value) if key.is(Mark::EnvOnly) => format!("# {} is set: {value}", key.leaf()),
                Some(value) => format!("{} = {value}", key.leaf()),
                None => format!("# {} is not set", key.leaf()),
            };
            let origin = match self.origin(key.name) {
                Origin::Default => "default".to_owned(),
                other => other.to_string(),
            };
            let _ = writeln!(out, "{line:<48} # {origin}");
        }
        out
    }
}
