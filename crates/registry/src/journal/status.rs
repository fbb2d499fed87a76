//! How far the journal is behind.

use std::sync::PoisonError;
use std::time::Duration;

use super::{Inner, sql, state};
use crate::{Error, Result};

/// The shortest delay that is told in the log.
const WORTH_TELLING: Duration = Duration::from_mins(1);

/// How far the journal is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The generation that goes on; 0: there is none.
    pub generation: u64,
    /// Operations that are not in it.
    pub operations_behind: u64,
    /// How long ago the first of them was made.
    pub behind: Duration,
    /// The delay that was told last.
    told: Duration,
}

impl Inner {
    /// Looks how far the journal is behind, and tells when it fell back.
    pub(super) async fn measure(&self, failure: Option<&Error>) -> Result<()> {
        let origin = self.origin();
        let db = &self.registry.inner.db;
        let (state, (operations, oldest)) = db
            .read(move |tx| {
                let state = state::load(tx)?;
                let sequence = state.as_ref().map_or(0, |state| state.sequence);
                Ok::<_, lazuli_db::Error>((state, sql::lag(tx, origin, sequence)?))
            })
            .await?;
        let now = self.registry.now();
        let age = oldest.map_or(0, |oldest| now.saturating_sub(oldest).max(0));
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.generation = state.map_or(0, |state| state.current);
        status.operations_behind = operations;
        status.behind = if operations == 0 {
            Duration::ZERO
        } else {
            Duration::from_micros(age.cast_unsigned())
        };
        let limit = WORTH_TELLING.max(self.options.interval * 6);
        status.tell(limit, failure);
        Ok(())
    }
}

impl Status {
    /// Once when the delay becomes worth telling, again whenever it doubled, and when it is over.
    fn tell(&mut self, limit: Duration, failure: Option<&Error>) {
        let (behind, operations) = (self.behind, self.operations_behind);
        if behind > limit && behind >= self.told * 2 {
            let seconds = behind.as_secs();
            let error = failure.map(tracing::field::display);
            tracing::warn!(
                seconds,
                operations,
                error,
                "the journal in the bucket is behind: a rebuild would miss what came since"
            );
            self.told = behind;
        } else if behind <= limit && !self.told.is_zero() {
            tracing::info!("the journal in the bucket is up to date again");
            self.told = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_told_when_it_doubles_and_when_it_is_over() {
        let mut status = Status::default();
        let mut told = |seconds| {
            status.behind = Duration::from_secs(seconds);
            status.tell(WORTH_TELLING, None);
            status.told.as_secs()
        };
        let expected = [
            (60, 0),
            (61, 61),
            (100, 61),
            (122, 122),
            (300, 300),
            (3, 0),
            (70, 70),
        ];
        for (seconds, then) in expected {
            assert_eq!(told(seconds), then);
        }
    }
}
