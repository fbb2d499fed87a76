//! `lazuli migrate`: a registry moves to another database and store while it serves.
//!
//! Copy, follow, close, compare, and hand over: `lazuli_registry::transfer` has the parts, here is their order. The order of the
//! last steps is what keeps writes from getting lost: the old place is closed for good before the new one may be served.

mod cut_over;
mod holding;
mod places;

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};
use lazuli_db::Db;
use lazuli_registry::transfer::arrival::{self, Found};
use lazuli_registry::transfer::{Follower, Pass, closed};
use lazuli_wire::oci::Digest;
use tokio::time::Instant;

use super::backup::line;
use super::ticker::Ticker;
use crate::cli::{Shown, settings};
use crate::config::{Configuration, Given};
use crate::wire_up;

use cut_over::CutOver;
use holding::Holding;
use places::Places;

const EXAMPLES: &str = "\
Examples:
  lazuli migrate --to new.toml --prepare   copy everything while the server runs; again: what is new
  lazuli migrate --to new.toml             copy what is left, pause writes for seconds, hand over
  lazuli migrate --to new.toml --verify    and read every blob of the new place before writes pause
  lazuli migrate --abort                   take writes here again

new.toml is the configuration of the new place: database.url and storage.url, which must be empty. Variables LAZULI_… \
hold for both places. Interrupted, it goes on where it was. During the pause pushes get 503 with Retry-After; pulls go on \
all the time. Afterwards this place takes no writes, so that none gets lost: start lazuli with new.toml.";

/// A pass that took no longer is followed by the pause, which takes about as long.
const SHORT: Duration = Duration::from_secs(2);
/// Most passes before the pause.
const PASSES: u32 = 30;

pub(crate) fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    Command::new("migrate")
        .about("Move to another database or store, while the server runs")
        .after_help(EXAMPLES)
        .arg(
            Arg::new("to")
                .long("to")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("The configuration file of the new place"),
        )
        .arg(flag("prepare", "Copy only, and pause nothing").requires("to"))
        .arg(flag("verify", "Read every blob of the new place and hash it").requires("to"))
        .arg(
            flag(
                "leave-damaged",
                "Go on although bytes of some blobs cannot be read; they come back when they are pushed again",
            )
            .requires("to"),
        )
        .arg(flag("with-key", "Copy the master key into the new data folder").requires("to"))
        .arg(
            Arg::new("longest-pause")
                .long("longest-pause")
                .value_name("SECONDS")
                .value_parser(value_parser!(u64).range(5..=86_400))
                .default_value("120")
                .help("Take writes again, and try later, when a pause gets longer"),
        )
        .arg(flag("abort", "Take writes here again").conflicts_with("to"))
        .group(ArgGroup::new("what").args(["to", "abort"]).required(true))
        .args(settings(Shown::Folder))
}

/// `lazuli migrate`
pub(crate) async fn run(matches: &ArgMatches, given: &Given) -> anyhow::Result<()> {
    match matches.get_one::<PathBuf>("to") {
        Some(file) => migrate(matches, given, file.clone()).await,
        None => abort(given).await,
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

async fn migrate(matches: &ArgMatches, given: &Given, file: PathBuf) -> anyhow::Result<()> {
    let places = Places::open(given, file).await?;
    let mut holding = Holding::begin(&places.source, &places.clock).await?;
    say(&format!("moving to {}", places.name))?;
    let longest = matches.get_one::<u64>("longest-pause").copied();
    let mut run = Run {
        follower: Follower::new(
            (places.source.clone(), places.from.clone()),
            (places.target.clone(), places.to.clone()),
        ),
        shown: Ticker::new(),
        leave_damaged: matches.get_flag("leave-damaged"),
        is_verifying: matches.get_flag("verify"),
        longest_pause: Duration::from_secs(longest.unwrap_or(120)),
        places,
    };
    let outcome = run.all(matches, &mut holding).await;
    run.shown.end();
    holding.end().await;
    run.places.close().await;
    outcome
}

struct Run {
    places: Places,
    follower: Follower,
    shown: Arc<Ticker>,
    leave_damaged: bool,
    is_verifying: bool,
    longest_pause: Duration,
}

impl Run {
    async fn all(&mut self, matches: &ArgMatches, holding: &mut Holding) -> anyhow::Result<()> {
        let is_closed = self.agree().await?;
        if matches.get_flag("with-key") {
            self.places.copy_key()?;
        }
        holding.check()?;
        if !is_closed {
            self.follow(holding).await?;
            if matches.get_flag("prepare") {
                return say(
                    "The new place has what was here a moment ago. The move itself: the same command without --prepare.",
                );
            }
        }
        let cut_over = CutOver { run: self, holding };
        let pause = cut_over.hand_over(is_closed).await?;
        self.tell_what_is_next(pause)
    }

    /// Whether this place and the new one are what they should be, and whether this one was closed for good already.
    async fn agree(&self) -> anyhow::Result<bool> {
        let places = &self.places;
        let now = places.clock.now_us();
        let state = closed::state(&places.source, now).await?;
        let found = arrival::look(&places.target, &places.mark).await?;
        match (&state, &found) {
            (Some(closed), _) if closed.until.is_none() && closed.to != places.name => bail!(
                "this registry was moved to {} already; `lazuli migrate --abort` opens it again",
                closed.to
            ),
            (Some(closed), Found::Used) if closed.until.is_none() => bail!(
                "this registry was moved to {} already, completely; start lazuli there",
                closed.to
            ),
            (_, Found::Used) => bail!(
                "the new place is not empty: {} holds a registry. Give an empty database (variables LAZULI_… hold for both \
                 places: is LAZULI_DATABASE_URL set?)",
                places.name
            ),
            (_, Found::Other(other)) => bail!(
                "the new place is being filled by another move: it is marked \"{other}\", this would be \"{}\". \
                 Give an empty database, or the storage.url of before",
                places.mark
            ),
            (Some(closed), Found::Empty) if closed.until.is_none() => {
                bail!(places::lost(&closed.to))
            }
            (_, Found::Empty) => places.refuse_used_store().await?,
            _ => {}
        }
        // Whatever may be refused was; from here on the new place is this move's, and a run that finds the mark goes on.
        if arrival::begin(&places.target, &places.mark).await? != found {
            bail!("somebody else began to fill the new place a moment ago");
        }
        match state {
            Some(closed) if closed.until.is_none() => Ok(true),
            // Of a run that is dead: this one has its lease.
            Some(closed) => {
                closed::open(&places.source, Some(&closed.holder)).await?;
                Ok(false)
            }
            None => Ok(false),
        }
    }

    /// Copies until little is left, and reads what was copied if that was asked for.
    async fn follow(&mut self, holding: &mut Holding) -> anyhow::Result<()> {
        let mut before = Duration::MAX;
        for number in 1..=PASSES {
            let begun = Instant::now();
            let pass = self.pass().await?;
            let took = begun.elapsed();
            holding.check()?;
            say(&format!(
                "pass {number}: {} of {} blobs copied ({} MiB), {} rows written, {:.1} s",
                pass.brought.0,
                pass.blobs.0,
                pass.brought.1 >> 20,
                pass.rows,
                took.as_secs_f64()
            ))?;
            self.refuse_holes(&pass.missing)?;
            // Where pushes never rest, passes stop getting shorter.
            let is_no_shorter = number > 1 && took >= before / 4 * 3;
            let is_shortest = is_no_shorter && took <= self.longest_pause / 2;
            if is_no_shorter && took > self.longest_pause / 2 && took > SHORT {
                bail!(pause_too_long(took, self.longest_pause));
            }
            let is_short = number > 1 && (took <= SHORT || is_shortest);
            before = took;
            if is_short && !self.verify().await? {
                return Ok(());
            }
        }
        bail!(
            "more is pushed than can be copied; nothing was paused. Try again at another time, or with a faster way to {}",
            self.places.name
        )
    }

    async fn pass(&mut self) -> anyhow::Result<Pass> {
        let shown = self.shown.clone();
        let pass = self.follower.pass(self.leave_damaged, move |progress| {
            shown.tell(|| line(progress));
        });
        Ok(pass.await?)
    }

    /// Whether something was damaged and has to be brought again.
    async fn verify(&mut self) -> anyhow::Result<bool> {
        if !self.is_verifying {
            return Ok(false);
        }
        let shown = self.shown.clone();
        let damaged = self.follower.verify(move |progress| {
            shown.tell(|| format!("reading {}", line(progress)));
        });
        let damaged = damaged.await?;
        for digest in damaged.iter().take(20) {
            say(&format!(
                "{digest} is damaged in the new place; it is copied again"
            ))?;
        }
        Ok(!damaged.is_empty())
    }

    fn refuse_holes(&self, missing: &[Digest]) -> anyhow::Result<()> {
        for digest in missing.iter().take(20) {
            writeln!(
                std::io::stderr(),
                "missing: the bytes of {digest} are not there, or damaged; pushing it again heals it"
            )?;
        }
        if missing.is_empty() || self.leave_damaged {
            return Ok(());
        }
        bail!(
            "the bytes of {} blobs cannot be read; everything else is copied, and nothing was paused. Heal them \
             (`lazuli fsck --verify` says more), or go on without them: --leave-damaged",
            missing.len()
        )
    }

    fn tell_what_is_next(&self, pause: Option<Duration>) -> anyhow::Result<()> {
        let places = &self.places;
        let paused = pause.map_or(String::new(), |pause| {
            format!(" after a pause of {:.1} s", pause.as_secs_f64())
        });
        say(&format!(
            "Everything is in {}{paused}. This place goes on serving pulls and takes no writes.\n\n\
             Next:\n  1. stop the server here\n{}  2. lazuli --config {}\n\n\
             Nothing here was removed; delete it when you no longer want to go back. To go back, without what was pushed \
             there: lazuli migrate --abort",
            places.name,
            places.missing_key(),
            places.file.display()
        ))
    }
}

/// `lazuli migrate --abort`
async fn abort(given: &Given) -> anyhow::Result<()> {
    let settings = Configuration::load(given)?.settings;
    let folder = super::opened::folder_of(&settings)?;
    let db = wire_up::open_database_beside(&settings, &folder)?;
    let text = match closed::open(&db, None).await? {
        None => "Writes were not paused here.".to_owned(),
        Some(closed) if closed.until.is_some() => {
            "Writes go on here. A move that is at work notices and begins its pause again; end it first.".to_owned()
        }
        Some(closed) => format!(
            "Writes go on here. What was pushed to {} is not here. To move again, give an empty database and a place for blobs that \
             has none.",
            closed.to
        ),
    };
    db.close(Duration::from_secs(10)).await?;
    say(&text)
}

/// For a server that starts: refuses a place that is not whole yet, and says when this one was left.
pub(crate) async fn look(db: &Db) -> anyhow::Result<()> {
    if let Some(mark) = arrival::mark(db).await? {
        bail!(
            "this database is being filled by `lazuli migrate` (from {mark}) and is not whole yet: run that to its end first"
        );
    }
    if let Some(closed) = closed::state(db, wire_up::clock_of(db).await?.now_us()).await? {
        let to = closed.to;
        tracing::warn!(%to, "this registry was moved: it takes no writes; `lazuli migrate --abort` opens it again");
    }
    Ok(())
}

/// For commands that change what would not come along any more.
pub(crate) async fn refuse_if_moving(db: &Db) -> anyhow::Result<()> {
    match closed::state(db, wire_up::clock_of(db).await?.now_us()).await? {
        None => Ok(()),
        Some(closed) => Err(anyhow::anyhow!("nothing was changed"))
            .with_context(|| format!("this registry is being moved to {}, or was", closed.to)),
    }
}
/// The pause reads all rows on both sides twice; a pass that copies hardly anything reads them once.
fn pause_too_long(pass: Duration, longest: Duration) -> String {
    let needed = (pass.as_secs() + 1) * 3;
    format!(
        "writes would have to pause for about {} s, because reading all rows takes {:.0} s by now; --longest-pause allows {} s. \
         Nothing was paused. Try again with --longest-pause {needed}, or when less is pushed",
        (pass.as_secs() + 1) * 2,
        pass.as_secs_f64(),
        longest.as_secs()
    )
}
