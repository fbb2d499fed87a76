//! The house rules as checks, so that no document can drift from the code.
//!
//! Each check returns the places that break it, one line each; an empty list is a pass.

mod dependencies;
mod layers;
mod links;
mod proofs;
mod sizes;
mod words;

use anyhow::Result;

use crate::docs;
use crate::report::Results;

type Check = fn() -> Result<Vec<String>>;

const CHECKS: &[(&str, Check)] = &[
    ("files are short", sizes::check),
    ("crates use lower levels only", layers::check),
    ("no forbidden words", words::check),
    ("documentation links lead somewhere", links::check),
    ("tests that prove durability exist", proofs::check),
    ("licences are allowed", dependencies::licences),
    ("no banned crates", dependencies::bans),
    ("every crate in one version", dependencies::duplicates),
    (
        "every dependency has its reason in ARCHITECTURE.md",
        dependencies::reasons,
    ),
    ("generated documents are current", docs::check),
];

/// Runs every check.
pub(crate) fn run(results: &mut Results) {
    for (name, check) in CHECKS {
        results.case("tidy", name, || {
            let problems = check()?;
            anyhow::ensure!(
                problems.is_empty(),
                "{}",
                problems.join(
                    "
"
                )
            );
            Ok(())
        });
    }
}
