//! What ran, how it ended and how long it took.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};

struct Case {
    group: String,
    name: String,
    outcome: Outcome,
    seconds: f64,
}

enum Outcome {
    Passed,
    Failed(String),
    NotRun(String),
    /// Tests that another program ran and counted.
    Counted {
        passed: usize,
        failed: usize,
    },
}

/// All cases of a run, printed as they end.
pub(crate) struct Results {
    cases: Vec<Case>,
    start: Instant,
    strict: bool,
}

#[derive(Default)]
struct Sum {
    passed: usize,
    failed: usize,
    not_run: usize,
    seconds: f64,
}

impl Results {
    /// In CI (`CI=true`) a case that was not run is a failure.
    pub(crate) fn new() -> Self {
        let strict =
            std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
        Self {
            cases: Vec::new(),
            start: Instant::now(),
            strict,
        }
    }

    /// Takes over the cases of another run.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.cases.append(&mut other.cases);
    }

    /// Announces a part that will take its time.
    pub(crate) fn announce(&self, what: &str) {
        println!(
            "\n=== {what}  (at {:.0} s)",
            self.start.elapsed().as_secs_f64()
        );
    }

    /// Runs one case, prints and keeps how it ended; true unless it failed.
    pub(crate) fn case(
        &mut self,
        group: &str,
        name: &str,
        run: impl FnOnce() -> Result<()>,
    ) -> bool {
        let start = Instant::now();
        let outcome = match run() {
            Ok(()) => Outcome::Passed,
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        self.add(group, name, outcome, start.elapsed().as_secs_f64())
    }

    /// As [`case`](Self::case), for one that finds out by itself that it cannot run here, and says why.
    pub(crate) fn case_if_possible(
        &mut self,
        group: &str,
        name: &str,
        run: impl FnOnce() -> Result<Option<&'static str>>,
    ) -> bool {
        let start = Instant::now();
        let outcome = match run() {
            Ok(None) => Outcome::Passed,
            Ok(Some(why)) => Outcome::NotRun(why.to_owned()),
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        self.add(group, name, outcome, start.elapsed().as_secs_f64())
    }

    /// Keeps what another program counted.
    pub(crate) fn counted(&mut self, group: &str, passed: usize, failed: usize, seconds: f64) {
        self.add(group, "tests", Outcome::Counted { passed, failed }, seconds);
    }

    /// Keeps a case that cannot run here.
    pub(crate) fn not_run(&mut self, group: &str, name: &str, why: &str) {
        self.add(group, name, Outcome::NotRun(why.to_owned()), 0.0);
    }

    /// How many cases of a group there are, and how many of them failed.
    pub(crate) fn tally(&self, group: &str) -> (usize, usize) {
        let cases = self.cases.iter().filter(|case| case.group == group);
        let sum = self.sum(|case| case.group == group);
        (cases.count(), sum.failed)
    }

    fn add(&mut self, group: &str, name: &str, outcome: Outcome, seconds: f64) -> bool {
        match &outcome {
            Outcome::Passed => println!("  ok       {group}: {name}  ({seconds:.1} s)"),
            Outcome::Failed(why) => println!(
                "  FAILED   {group}: {name}  ({seconds:.1} s)\n{}",
                indent(why)
            ),
            Outcome::NotRun(why) => println!("  NOT RUN: {group}: {name}: {why}"),
            Outcome::Counted { passed, failed } => {
                println!("  {group}: {passed} passed, {failed} failed  ({seconds:.1} s)");
            }
        }
        let _ = std::io::stdout().flush();
        let fine = !matches!(
            outcome,
            Outcome::Failed(_) | Outcome::Counted { failed: 1.., .. }
        );
        self.cases.push(Case {
            group: group.to_owned(),
            name: name.to_owned(),
            outcome,
            seconds,
        });
        fine
    }

    /// Prints the table, what failed and what was not run; the last line is `N passed, N failed`. True if nothing failed.
    pub(crate) fn summary(&self) -> bool {
        println!("\n=== summary\n");
        println!(
            "{:<22} {:>7} {:>7} {:>8} {:>8}",
            "part", "passed", "failed", "not run", "seconds"
        );
        let mut groups: Vec<&str> = Vec::new();
        for case in &self.cases {
            if !groups.contains(&case.group.as_str()) {
                groups.push(&case.group);
            }
        }
        for group in groups {
            let sum = self.sum(|case| case.group == group);
            println!(
                "{group:<22} {:>7} {:>7} {:>8} {:>8.1}",
                sum.passed, sum.failed, sum.not_run, sum.seconds
            );
        }
        println!();
        for case in &self.cases {
            match &case.outcome {
                Outcome::Failed(why) => {
                    println!("FAILED: {}: {}: {}", case.group, case.name, last_line(why));
                }
                Outcome::NotRun(why) => println!("NOT RUN: {}: {}: {why}", case.group, case.name),
                _ => {}
            }
        }
        let total = self.sum(|_| true);
        let failed = total.failed + if self.strict { total.not_run } else { 0 };
        if self.strict && total.not_run > 0 {
            println!(
                "{} cases were not run, which is a failure in CI",
                total.not_run
            );
        }
        println!("took {:.0} s", self.start.elapsed().as_secs_f64());
        println!("{} passed, {failed} failed", total.passed);
        failed == 0
    }

    fn sum(&self, filter: impl Fn(&Case) -> bool) -> Sum {
        self.cases
            .iter()
            .filter(|case| filter(case))
            .fold(Sum::default(), |mut sum, case| {
                match case.outcome {
                    Outcome::Passed => sum.passed += 1,
                    Outcome::Failed(_) => sum.failed += 1,
                    Outcome::NotRun(_) => sum.not_run += 1,
                    Outcome::Counted { passed, failed } => {
                        sum.passed += passed;
                        sum.failed += failed;
                    }
                }
                sum.seconds += case.seconds;
                sum
            })
    }

    /// The cases as JSON objects: client, case, result, seconds and, where there is one, detail.
    pub(crate) fn to_json(&self) -> Value {
        let cases = self.cases.iter().map(|case| {
            let (result, detail) = match &case.outcome {
                Outcome::Passed | Outcome::Counted { failed: 0, .. } => ("passed", None),
                Outcome::Failed(why) => ("failed", Some(why)),
                Outcome::Counted { .. } => ("failed", None),
                Outcome::NotRun(why) => ("not run", Some(why)),
            };
            let seconds = (case.seconds * 1000.0).round() / 1000.0;
            json!({"client": case.group, "case": case.name, "result": result, "seconds": seconds, "detail": detail})
        });
        Value::Array(cases.collect())
    }
}

/// The end of an error is what the program itself said.
fn last_line(text: &str) -> &str {
    text.lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or_default()
}

fn indent(text: &str) -> String {
    text.lines()
        .map(|line| format!("           {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(strict: bool) -> Results {
        let mut results = Results {
            strict,
            ..Results::new()
        };
        assert!(results.case("a", "good", || Ok(())));
        results.not_run("a", "absent", "no network");
        results.counted("b", 5, 0, 1.0);
        results
    }

    #[test]
    fn what_was_not_run_fails_in_ci_only() {
        assert!(results(false).summary());
        assert!(!results(true).summary());
    }

    #[test]
    fn a_failure_fails_the_run() {
        let mut failed = results(false);
        assert!(!failed.case("a", "bad", || anyhow::bail!("why")));
        assert!(!failed.summary());
        let mut counted = results(false);
        counted.counted("c", 1, 1, 0.0);
        assert!(!counted.summary());
        assert_eq!(failed.to_json()[3]["detail"], "why");
    }
}
