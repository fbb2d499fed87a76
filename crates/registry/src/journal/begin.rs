//! A new generation: the comparison with what is there, the snapshot, and the end of old ones.

use super::record::{Head, Kind, Record, VERSION, Writer};
use super::snapshot::{self, Piece};
use super::state::State;
use super::{Inner, Work, names};
use crate::{Error, Result};

impl Inner {
    /// Looks whether the bucket has what the database says, and nothing newer: else the next generation begins after
    /// all that is there.
    pub(super) async fn compare(&self, state: Option<State>) -> Result<Option<State>> {
        let found = self.records.list(String::new()).await?;
        let newest = names::newest(&found);
        let mut state = match state {
            Some(state) => state,
            None => State::fresh(newest)?,
        };
        if state.reserved < newest {
            tracing::warn!(
                "the bucket has a newer journal than this database knows of; everything is written anew"
            );
            (state.reserved, state.current) = (newest, 0);
        }
        if state.current > 0 && !self.is_ours(&state).await? {
            tracing::warn!(
                "the bucket does not have this database's journal; everything is written anew"
            );
            state.current = 0;
        }
        Ok(Some(state))
    }

    async fn is_ours(&self, state: &State) -> Result<bool> {
        let name = names::complete(state.current);
        match self.records.read(name).await {
            Ok(text) => {
                let record = Record::read(&text, &self.key);
                Ok(record.is_ok_and(|record| record.head.journal == state.id))
            }
            Err(lazuli_blobs::Error::NotFound) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Begins a new generation.
    pub(super) async fn begin(&self, work: &mut Work, mut state: State) -> Result<State> {
        state.reserved += 1;
        self.store(work, &state).await?;
        let generation = state.reserved;
        let head = Head {
            journal: state.id.clone(),
            version: VERSION,
            kind: Kind::Snapshot,
            generation,
            number: 0,
            after: 0,
            written_at: self.registry.now(),
            parts: None,
            included: Vec::new(),
        };
        let db = &self.registry.inner.db;
        let mut pieces = snapshot::read(db, self.origin(), head.clone(), self.options.bytes);
        let (mut parts, mut bytes, mut begun) = (0, 0, false);
        let end = loop {
            match pieces.recv().await {
                Some(Ok(Piece::Begin)) if begun => {
                    return Err(Error::Internal("the snapshot began anew"));
                }
                Some(Ok(Piece::Begin)) => begun = true,
                Some(Ok(Piece::Part(writer))) => {
                    parts += 1;
                    bytes += self.make(names::part(generation, parts), writer).await?;
                    if !self.still_holds(work).await? {
                        return Err(Error::Internal("another process took over the journal"));
                    }
                }
                Some(Ok(Piece::End(end))) => break end,
                Some(Err(error)) => return Err(error),
                None => return Err(Error::Internal("the snapshot ended early")),
            }
        };
        let complete = Writer::new(Head {
            kind: Kind::Complete,
            after: end.sequence,
            parts: Some(parts),
            included: end.included,
            ..head
        });
        self.make(names::complete(generation), complete).await?;
        let state = State {
            id: state.id,
            reserved: generation,
            current: generation,
            segments: 0,
            sequence: end.sequence,
            bytes: 0,
            snapshot_bytes: bytes,
            begun_at: self.registry.now(),
            small: end.small,
        };
        self.store(work, &state).await?;
        tracing::debug!(generation, parts, bytes, "the journal was begun anew");
        self.trim(generation).await?;
        Ok(state)
    }

    /// Makes a record that cannot be there; returns its bytes.
    async fn make(&self, name: String, writer: Writer) -> Result<u64> {
        let text = writer.finish(&self.key);
        let bytes = text.len() as u64;
        if self.records.create(name, text).await? {
            Ok(bytes)
        } else {
            Err(Error::Internal("a record of the journal was there already"))
        }
    }

    /// Removes what came before, but for the last generation that is whole.
    async fn trim(&self, current: u64) -> Result<()> {
        let found = self.records.list(String::new()).await?;
        let whole = names::whole(&found);
        let kept = whole.range(..current).next_back().copied();
        let is_old = |name: &&String| {
            names::generation(name).is_some_and(|number| number < current && Some(number) != kept)
        };
        let mut old: Vec<_> = found.iter().filter(is_old).collect();
        // What makes a generation whole goes first.
        old.sort_by_key(|name| !name.ends_with("complete.json"));
        for name in old {
            self.records.remove(name.clone()).await?;
        }
        Ok(())
    }
}
