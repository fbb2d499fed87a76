//! Runs of the command.

use std::process::Command;

use lazuli_testkit::server::{PASSWORD, Server};

pub(crate) fn start() -> Server {
    Server::start(env!("CARGO_BIN_EXE_lazuli"), &[])
}

pub(crate) fn command(target: &Server, arguments: &[&str]) -> Command {
    let into = format!("http://{}", target.http());
    let mut all = vec!["import-from", "--into", &into];
    all.extend_from_slice(arguments);
    let mut command = target.command(&all);
    command.env("LAZULI_ADMIN_PASSWORD", PASSWORD);
    command
}

pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Outcome {
    /// The numbers of a line of the summary.
    pub(crate) fn counts(&self, line: &str) -> Vec<u64> {
        let of_line = self.out.lines().find_map(|l| l.strip_prefix(line)).unwrap();
        let words = of_line.split([' ', '(']);
        words.filter_map(|word| word.parse().ok()).collect()
    }
}

pub(crate) fn run(command: &mut Command) -> Outcome {
    let output = command.output().unwrap();
    let outcome = Outcome {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    };
    println!("{}\n{}{}", outcome.code, outcome.out, outcome.errors);
    outcome
}

/// Runs it and expects that nothing is missing.
pub(crate) fn import(target: &Server, arguments: &[&str]) -> Outcome {
    let outcome = run(&mut command(target, arguments));
    assert_eq!(outcome.code, 0);
    outcome
}
