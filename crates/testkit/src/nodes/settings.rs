//! The settings that the compose file gives its nodes.

use anyhow::{Context as _, Result, ensure};

/// All of them, with these changed. What the compose file takes from its `.env` has to be among the changed ones.
pub(super) fn of_compose_file(changed: &[(&str, String)]) -> Result<Vec<(String, String)>> {
    read(&super::deployed("compose.yaml")?, changed)
}

fn read(text: &str, changed: &[(&str, String)]) -> Result<Vec<(String, String)>> {
    let (_, rest) = text
        .split_once("environment: &environment\n")
        .context("compose.yaml has no `environment: &environment`")?;
    let mut settings = Vec::new();
    let lines = rest.lines().take_while(|line| line.starts_with("    "));
    for line in lines.map(str::trim).filter(|line| !line.starts_with('#')) {
        let (name, value) = line.split_once(": ").context("no setting")?;
        let other = changed.iter().find(|(changed, _)| *changed == name);
        let value = other.map_or_else(|| value.trim_matches('"').to_owned(), |(_, v)| v.clone());
        // Where it listens is for the command line to say.
        if name != "LAZULI_HTTP" {
            ensure!(!value.contains("${"), "{name} is not set: {value}");
            settings.push((name.to_owned(), value));
        }
    }
    for (name, _) in changed {
        let is_known = settings.iter().any(|(known, _)| known == name);
        ensure!(is_known, "the compose file does not set {name}");
    }
    Ok(settings)
}

/// The bucket that they name.
pub(super) fn bucket(settings: &[(String, String)]) -> Result<String> {
    let url = settings
        .iter()
        .find_map(|(name, value)| (name == "LAZULI_STORAGE_URL").then_some(value));
    let rest = url.and_then(|url| url.strip_prefix("s3://"));
    let bucket = rest.and_then(|rest| rest.split('/').next());
    Ok(bucket
        .context("LAZULI_STORAGE_URL names no bucket")?
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "x-node:\n  environment: &environment\n    LAZULI_HTTP: 0.0.0.0:5000\n    # Why.\n    LAZULI_KEY: ${KEY:?}\n    LAZULI_OFF: \"off\"\n  depends_on:\n    LAZULI_NOT: this\n";

    #[test]
    fn what_the_file_says_counts_unless_it_is_changed() {
        let changed = [("LAZULI_KEY", "1".to_owned())];
        let settings = read(FILE, &changed).unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            settings,
            [pair("LAZULI_KEY", "1"), pair("LAZULI_OFF", "off")]
        );
        assert!(read(FILE, &[]).is_err());
        let unknown = [changed[0].clone(), ("LAZULI_NOT", String::new())];
        assert!(read(FILE, &unknown).is_err());
    }
}
