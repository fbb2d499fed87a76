//! Relative links of Markdown pages lead to files and headings that exist. Nothing is fetched.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;

use crate::workspace;

pub(super) fn check() -> Result<Vec<String>> {
    let files = workspace::files()?;
    let mut known: BTreeSet<PathBuf> = files.iter().map(PathBuf::from).collect();
    for file in &files {
        known.extend(Path::new(file).ancestors().skip(1).map(Path::to_path_buf));
    }
    let mut problems = Vec::new();
    for page in &workspace::files_with("md")? {
        let text = workspace::read(page)?.unwrap_or_default();
        for (line, target) in links(&text) {
            if let Some(problem) = broken(page, &text, &target, &known)? {
                problems.push(format!("{page}:{line}: {target}: {problem}"));
            }
        }
    }
    Ok(problems)
}

fn broken(
    page: &str,
    text: &str,
    target: &str,
    known: &BTreeSet<PathBuf>,
) -> Result<Option<&'static str>> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(None);
    }
    let (path, heading) = target
        .split_once('#')
        .map_or((target, None), |(path, heading)| (path, Some(heading)));
    let file = match path {
        "" => PathBuf::from(page),
        path => normal(&Path::new(page).parent().unwrap_or(Path::new("")).join(path)),
    };
    if !known.contains(&file) {
        return Ok(Some("no such file"));
    }
    let Some(heading) = heading.filter(|_| file.extension().is_some_and(|e| e == "md")) else {
        return Ok(None);
    };
    let other;
    let text = if path.is_empty() {
        text
    } else {
        other = workspace::read(&file.to_string_lossy())?.unwrap_or_default();
        &other
    };
    Ok((!anchors(text).contains(heading)).then_some("no such heading"))
}

/// Targets of `[text](target)` outside code, with their line numbers.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        // Inline code: what stands between back-ticks.
        let visible: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for rest in visible.split("](").skip(1) {
            if let Some((target, _)) = rest.split_once(')') {
                let target = target.split_whitespace().next().unwrap_or_default();
                found.push((number, target.trim_matches(['<', '>']).to_owned()));
            }
        }
    }
    found
}

/// The anchors that headings get: lower case, spaces to dashes, punctuation dropped.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text).filter(|(_, line)| line.starts_with('#')) {
        let title = line.trim_start_matches('#').trim();
        let slug: String = title
            .to_lowercase()
            .chars()
            .filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                _ => None,
            })
            .collect();
        let mut name = slug.clone();
        let mut number = 0;
        while !anchors.insert(name.clone()) {
            number += 1;
            name = format!("{slug}-{number}");
        }
    }
    anchors
}

fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((index + 1, line))
    })
}

fn normal(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                result.pop();
            }
            Component::CurDir => {}
            other => result.push(other),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_code_do_not_count() {
        let text = "[a](b.md) and `[c](d)`\n```\n[e](f)\n```\n[g](<h.md> \"title\")\n";
        assert_eq!(
            links(text),
            [(1, "b.md".to_owned()), (5, "h.md".to_owned())]
        );
    }

    #[test]
    fn headings_become_anchors() {
        let anchors =
            anchors("# Behind nginx, with TLS\n## Keys `a.b`\n## Keys ab\n## Same\n## Same\n");
        for name in [
            "behind-nginx-with-tls",
            "keys-ab",
            "keys-ab-1",
            "same",
            "same-1",
        ] {
            assert!(anchors.contains(name), "{name} in {anchors:?}");
        }
    }

    #[test]
    fn a_link_is_relative_to_its_page() {
        let known = BTreeSet::from([PathBuf::from("README.md"), PathBuf::from("docs/a.md")]);
        assert_eq!(
            broken("docs/a.md", "", "../README.md", &known).unwrap(),
            None
        );
        assert_eq!(
            broken("docs/a.md", "", "README.md", &known).unwrap(),
            Some("no such file")
        );
        assert_eq!(broken("docs/a.md", "# One", "#one", &known).unwrap(), None);
        assert_eq!(
            broken("docs/a.md", "# One", "#two", &known).unwrap(),
            Some("no such heading")
        );
        assert_eq!(
            broken("docs/a.md", "", "https://example.test/x", &known).unwrap(),
            None
        );
    }
}
