//! The command line: subcommands, and a flag for each configuration key.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::config::{Given, KEYS, Key, Mark, SECTIONS};

/// How the process ends.
pub(crate) mod exit {
    /// Done.
    pub(crate) const OK: u8 = 0;
    /// Something failed; the message says what.
    pub(crate) const FAILED: u8 = 1;
    /// Wrong usage or configuration (also used by the argument parser).
    pub(crate) const USAGE: u8 = 2;
    /// Another server uses the data folder.
    pub(crate) const IN_USE: u8 = 3;
    /// `lazuli fsck` or `lazuli scrub run` found damage that was not repaired.
    pub(crate) const DAMAGED: u8 = 4;
}

const ABOUT: &str = "A container registry (OCI, Docker, Azure) in one program.";

const ROOT_EXAMPLES: &str = "\
Examples:
  lazuli                                   serve on 127.0.0.1:5000 (http) and 127.0.0.1:5443 (https)
  lazuli --data-dir /srv/lazuli            keep everything in /srv/lazuli
  lazuli config                            show the effective configuration and who set it
  lazuli admin reset-password              make a new password for the admin user

Every setting is a key of the configuration file, a variable LAZULI_… and a flag: `lazuli serve --help` lists them.

Exit codes: 0 done; 1 failed; 2 wrong usage or configuration; 3 another server uses the data folder; 4 fsck, scrub or rebuild found damage that was not repaired.";

const SERVE_EXAMPLES: &str = "\
Examples:
  lazuli serve
  lazuli serve --http off --https 0.0.0.0:443 --tls-names registry.example.com
  LAZULI_ADMIN_PASSWORD='correct horse battery' lazuli serve

SIGTERM and SIGINT let running transfers finish, a second one stops at once. SIGHUP reads the configuration again \
and applies what can be applied to a running server: certificate and log.

The admin user's first password can be set by the variable LAZULI_ADMIN_PASSWORD only: everyone on the machine can \
read the flags of a process.";

const CONFIG_EXAMPLES: &str = "\
Examples:
  lazuli config                            print the effective configuration as TOML
  lazuli config > new.toml                 begin a configuration file with every key in it
  lazuli config --check --config new.toml  say whether a file is valid; exit code 2 if not";

/// The whole command line.
pub(crate) fn command() -> Command {
    Command::new("lazuli")
        .about(ABOUT)
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .max_term_width(100)
        .after_help(ROOT_EXAMPLES)
        .args(settings(Shown::Common))
        .subcommand(serve())
        .subcommand(config())
        .subcommand(version())
        .subcommands(crate::commands::declared())
}

fn serve() -> Command {
    Command::new("serve")
        .about("Run the registry (what lazuli does without a subcommand)")
        .after_help(SERVE_EXAMPLES)
        .args(settings(Shown::All))
}

fn config() -> Command {
    Command::new("config")
        .about("Print or check the effective configuration")
        .after_help(CONFIG_EXAMPLES)
        .arg(
            Arg::new("check")
                .long("check")
                .action(ArgAction::SetTrue)
                .help("Only say whether it is valid"),
        )
        .arg(
            Arg::new("reference")
                .long("reference")
                .value_name("PAGE")
                .value_parser(PossibleValuesParser::new(["configuration", "cli"]))
                .hide(true)
                .help("Print a page of docs/reference as Markdown"),
        )
        .args(settings(Shown::Common))
}

fn version() -> Command {
    Command::new("version")
        .about("Print the version")
        .after_help("Example:\n  lazuli version")
}

/// Which settings' flags the help shows. All are accepted everywhere, before and after the subcommand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// What finds the data of a server.
    Folder,
    Common,
    All,
}

impl Shown {
    fn includes(self, key: &Key) -> bool {
        match self {
            Shown::Folder => key.name == "data_dir",
            Shown::Common => key.is(Mark::Common),
            Shown::All => true,
        }
    }
}

/// `--config` and one flag for each key.
pub(crate) fn settings(shown: Shown) -> Vec<Arg> {
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("The configuration file [variable LAZULI_CONFIG; default: lazuli.toml in the data folder, else here]")
        .help_heading("Settings");
    let flags = KEYS
        .iter()
        .filter(|key| !key.is(Mark::EnvOnly))
        .map(|key| setting(key, shown));
    std::iter::once(file).chain(flags).collect()
}

fn setting(key: &'static Key, shown: Shown) -> Arg {
    let default = if key.default.is_empty() {
        String::new()
    } else {
        format!(" [default: {}]", key.default)
    };
    let heading = match SECTIONS
        .iter()
        .find(|section| section.name == key.section())
    {
        Some(section) if !section.name.is_empty() => format!("Settings: {}", section.name),
        _ => "Settings".to_owned(),
    };
    let arg = Arg::new(key.name)
        .long(key.flag())
        .value_name(key.kind.word)
        .help(format!("{}{default}", key.doc()))
        .help_heading(heading)
        .hide(!shown.includes(key))
        .overrides_with(key.name);
    if key.kind.switch {
        arg.num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
    } else {
        arg.allow_hyphen_values(false)
    }
}

/// The settings given by flags, before and after the subcommand, and the environment. (`version` takes none.)
pub(crate) fn given(levels: &[&ArgMatches]) -> Given {
    let mut given = Given {
        variables: std::env::vars_os().collect(),
        ..Given::default()
    };
    for matches in levels {
        if let Some(file) = matches.try_get_one::<PathBuf>("config").ok().flatten() {
            given.file = Some(file.clone());
        }
        for key in KEYS.iter().filter(|key| !key.is(Mark::EnvOnly)) {
            if let Some(text) = matches.try_get_one::<String>(key.name).ok().flatten() {
                given.flags.push((key, text.clone()));
            }
        }
    }
    given
}

/// docs/reference/cli.md, generated from the commands above.
pub(crate) fn markdown() -> String {
    let mut out = String::from(
        "# Command line\n\n\
         <!-- Generated by `lazuli config --reference cli`. Change crates/server/src/cli.rs instead. -->\n\n\
         Each setting is also a flag of every command: see [configuration](configuration.md).\n\n\
         | exit code | meaning |\n|---|---|\n\
         | 0 | done |\n| 1 | failed; the message says what |\n| 2 | wrong usage or configuration |\n\
         | 3 | another server uses the data folder |\n\
         | 4 | `lazuli fsck`, `lazuli scrub run` or `lazuli rebuild` found damage that was not repaired |\n",
    );
    let mut root = command().term_width(100);
    root.build();
    write_command(&mut out, &mut root, 2);
    out
}

fn write_command(out: &mut String, command: &mut Command, level: usize) {
    let name = command
        .get_bin_name()
        .unwrap_or(command.get_name())
        .to_owned();
    // The settings stand in configuration.md.
    let of_settings = |arg: &Arg| {
        arg.get_help_heading()
            .is_some_and(|heading| heading.starts_with("Settings"))
    };
    let help = command
        .clone()
        .mut_args(|arg| {
            if of_settings(&arg) {
                arg.hide(true)
            } else {
                arg
            }
        })
        .render_help();
    let (title, text) = ("#".repeat(level), help.to_string());
    let _ = writeln!(out, "\n{title} {name}\n\n```text\n{}\n```", text.trim_end());
    for sub in command.get_subcommands_mut() {
        write_command(out, sub, level + 1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn all(command: &Command, prefix: &str, out: &mut Vec<(String, Command)>) {
        let name = format!("{prefix}{}", command.get_name());
        for sub in command.get_subcommands() {
            all(sub, &format!("{name} "), out);
        }
        out.push((name, command.clone()));
    }

    fn parse(line: &str) -> Result<ArgMatches, clap::Error> {
        command().try_get_matches_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn the_help_of_every_command_teaches_with_an_example_that_parses() {
        let mut commands = Vec::new();
        all(&command(), "", &mut commands);
        assert!(commands.len() >= 4);
        for (name, mut command) in commands {
            let help = command.render_help().to_string();
            let examples: Vec<&str> = help
                .lines()
                .map(str::trim)
                .filter(|line| line.starts_with(&*name))
                .collect();
            assert!(!examples.is_empty(), "`{name} --help` has no example");
            for example in examples {
                let line = example
                    .split("  ")
                    .next()
                    .unwrap()
                    .split(" > ")
                    .next()
                    .unwrap();
                assert!(
                    parse(line).is_ok(),
                    "`{line}` of `{name} --help` does not parse"
                );
            }
        }
    }

    #[test]
    fn settings_are_accepted_before_and_after_the_subcommand() {
        let matches =
            parse("lazuli --data-dir /a --http off config --data-dir /b --gc-enabled=false")
                .unwrap();
        let (_, sub) = matches.subcommand().unwrap();
        let given = given(&[&matches, sub]);
        let last = |name: &str| {
            given
                .flags
                .iter()
                .rev()
                .find(|(key, _)| key.name == name)
                .map(|(_, v)| v.as_str())
        };
        assert_eq!(
            (last("data_dir"), last("http"), last("gc.enabled")),
            (Some("/b"), Some("off"), Some("false"))
        );
    }

    #[test]
    fn a_switch_stands_alone_and_does_not_swallow_the_subcommand() {
        let matches = parse("lazuli --anonymous-pull serve").unwrap();
        assert_eq!(matches.subcommand_name(), Some("serve"));
        assert_eq!(
            matches
                .get_one::<String>("anonymous_pull")
                .map(String::as_str),
            Some("true")
        );
    }

    #[test]
    fn a_misspelt_flag_gets_a_hint() {
        let message = parse("lazuli --datadir /a").unwrap_err().to_string();
        assert!(message.contains("--data-dir"), "{message}");
    }

    #[test]
    fn the_admin_password_is_no_flag() {
        assert!(parse("lazuli --admin-password correct-horse").is_err());
        assert!(
            serve()
                .render_help()
                .to_string()
                .contains("LAZULI_ADMIN_PASSWORD")
        );
    }
}
