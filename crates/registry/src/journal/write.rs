//! The next segment.

use super::record::{Head, Kind, Line, Record, VERSION, Writer};
use super::segment::{self, CollectError, Collected};
use super::state::State;
use super::{Inner, Work, names, sql};
use crate::{Error, Result};

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Segment,
    /// Everything was there.
    Nothing,
    /// Journal and log are not of one past.
    Apart,
}

impl Inner {
    /// Writes the next segment.
    pub(super) async fn write(&self, work: &mut Work, state: &mut State) -> Result<Written> {
        let (origin, before) = (self.origin(), state.clone());
        let most = (self.options.operations, self.options.bytes);
        let db = &self.registry.inner.db;
        let collected = db.read(move |tx| segment::collect(tx, origin, &before, most));
        let collected = match collected.await {
            Ok(Some(collected)) => collected,
            Ok(None) => return Ok(Written::Nothing),
            Err(CollectError::Apart) => return Ok(Written::Apart),
            Err(CollectError::Registry(error)) => return Err(error),
            Err(CollectError::Read(error)) => {
                tracing::error!(%error, "the journal cannot go on");
                return Err(Error::Internal("an operation cannot be read"));
            }
        };
        let name = names::segment(state.current, state.segments + 1);
        let text = self.encode(state, &collected);
        let bytes = text.len() as u64;
        if self.records.create(name.clone(), text).await? {
            state.segments += 1;
            state.bytes += bytes;
            state.sequence = collected.sequence;
            state.small = collected.small;
            // A repair is in no operation.
            work.is_stale = collected.is_repair;
        } else if !self.take_over(state, name).await? {
            return Ok(Written::Apart);
        }
        self.store(work, state).await?;
        Ok(Written::Segment)
    }

    fn encode(&self, state: &State, collected: &Collected) -> bytes::Bytes {
        let mut writer = Writer::new(Head {
            journal: state.id.clone(),
            version: VERSION,
            kind: Kind::Segment,
            generation: state.current,
            number: state.segments + 1,
            after: state.sequence,
            written_at: self.registry.now(),
            parts: None,
            included: Vec::new(),
        });
        for line in &collected.lines {
            writer.push(line);
        }
        writer.finish(&self.key)
    }

    /// Goes on after a segment that another writer left, if its operations are this log's; false if they are not.
    async fn take_over(&self, state: &mut State, name: String) -> Result<bool> {
        let text = self.records.read(name).await?;
        let Ok(record) = Record::read(&text, &self.key) else {
            return Ok(false);
        };
        let Head {
            journal,
            generation,
            after,
            ..
        } = &record.head;
        if (journal, *generation, *after) != (&state.id, state.current, state.sequence) {
            return Ok(false);
        }
        let last = record.lines.iter().rev().find_map(|line| match line {
            Line::Operation(logged) => Some((logged.sequence, logged.id.clone())),
            _ => None,
        });
        let mut sequence = state.sequence;
        if let Some((number, id)) = last {
            let origin = self.origin();
            let db = &self.registry.inner.db;
            let known = db.read(move |tx| sql::numbered(tx, origin, number)).await?;
            if known.as_ref() != Some(&id) {
                return Ok(false);
            }
            sequence = number;
        }
        state.segments += 1;
        state.bytes += text.len() as u64;
        state.sequence = sequence;
        // Whether its small tables are the newest is not known: they are written once more.
        state.small.clear();
        Ok(true)
    }
}
