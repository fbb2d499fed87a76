//! Commands that a killed node cut off, run again: few times, only if a node was killed meanwhile and the command says that
//! its connection broke, and each is counted and told.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::exec::Output;

/// How often one command may be run again.
const MOST: usize = 3;
/// A kill is noted a moment after it happened.
const LATE: Duration = Duration::from_millis(300);
/// What programs say when an answer did not come, or not all of it.
const SIGNS: &[&str] = &[
    "502",
    "Bad Gateway",
    "EOF",
    "unexpected end",
    "connection reset",
    "connection refused",
    "connection was closed",
    "broken pipe",
    "closed network connection",
    "failed size validation",
    "failed size verification",
    "short read",
    // What `crane validate` makes of an unexpected end.
    "undersized layer",
    "stream error",
    // oras 1.2 falls over two failures at once.
    "inconsistently typed value",
];

/// What was run again so far.
pub(super) struct Repeats {
    /// The kills, each a line that begins with milliseconds of the Unix time.
    kills: PathBuf,
    done: Mutex<Vec<String>>,
}

impl Repeats {
    pub(super) fn new(kills: PathBuf) -> Self {
        Self {
            kills,
            done: Mutex::new(Vec::new()),
        }
    }

    /// Whether a command is to be run again, which then counts.
    pub(super) fn again(&self, shown: &str, tries: usize, begun: SystemTime, out: &Output) -> bool {
        if out.status.success() {
            return false;
        }
        let said = out.all();
        self.again_because(shown, tries, begun, &said)
    }

    /// The same of anything that failed with these words.
    pub(super) fn again_because(
        &self,
        what: &str,
        tries: usize,
        begun: SystemTime,
        said: &str,
    ) -> bool {
        let said = said.to_lowercase();
        let is_cut = |line: &&str| SIGNS.iter().any(|sign| line.contains(&sign.to_lowercase()));
        let Some(line) = said.lines().rfind(is_cut) else {
            return false;
        };
        // What was begun just before the end is noted a moment later.
        std::thread::sleep(LATE);
        if tries > MOST || !self.was_killed_since(begun) {
            return false;
        }
        let what: String = what.chars().take(160).collect();
        println!("  AGAIN    {what}\n             {}", line.trim());
        self.lock().push(what);
        true
    }

    fn was_killed_since(&self, begun: SystemTime) -> bool {
        let kills = fs::read_to_string(&self.kills).unwrap_or_default();
        let last = kills.lines().last().and_then(|line| {
            let at = line.split(' ').next()?.parse().ok()?;
            Some(UNIX_EPOCH + Duration::from_millis(at))
        });
        last.is_some_and(|last| last + LATE >= begun)
    }

    /// All of them, in order.
    pub(super) fn done(&self) -> Vec<String> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does something, again if need be.
pub(super) fn insist<T>(
    repeats: Option<&Repeats>,
    what: &str,
    mut run: impl FnMut() -> Result<T>,
) -> Result<T> {
    let mut tries = 0;
    loop {
        tries += 1;
        let begun = SystemTime::now();
        match run() {
            Err(error)
                if repeats.is_some_and(|repeats| {
                    repeats.again_because(what, tries, begun, &format!("{error:#}"))
                }) => {}
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch;

    #[test]
    fn only_what_a_kill_cut_off_is_run_again_and_not_for_ever() {
        let file = scratch::root().unwrap().join("kills-test");
        let repeats = Repeats::new(file.clone());
        let now = SystemTime::now();
        assert!(!repeats.again_because("a", 1, now, "502 Bad Gateway"));
        let at = now.duration_since(UNIX_EPOCH).unwrap().as_millis();
        fs::write(&file, format!("{at} node1\n")).unwrap();
        assert!(repeats.again_because("b", 1, now, "first\nunexpected EOF"));
        assert!(!repeats.again_because("c", 1, now, "denied"));
        assert!(!repeats.again_because("d", MOST + 1, now, "502 Bad Gateway"));
        let later = now + Duration::from_secs(1);
        assert!(!repeats.again_because("e", 1, later, "502 Bad Gateway"));
        assert_eq!(repeats.done(), ["b"]);
    }

    #[test]
    fn an_answer_that_was_cut_is_asked_for_again() {
        let file = scratch::root().unwrap().join("kills-insist");
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        fs::write(&file, format!("{} node1\n", at.as_millis() + 60_000)).unwrap();
        let repeats = Repeats::new(file);
        let mut asked = 0;
        let failure = insist(Some(&repeats), "ask", || -> Result<()> {
            asked += 1;
            anyhow::bail!("GET /: 502")
        });
        assert!(failure.is_err());
        assert_eq!((asked, repeats.done().len()), (MOST + 1, MOST));
    }
}
