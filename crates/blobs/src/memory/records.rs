//! Records of a store in memory.

use std::future::ready;

use bytes::Bytes;

use super::MemoryStore;
use crate::{BoxFuture, Error, Records};

impl Records for MemoryStore {
    fn create(&self, name: String, text: Bytes) -> BoxFuture<'_, Result<bool, Error>> {
        let mut state = self.state();
        let is_new = !state.records.contains_key(&name);
        if is_new {
            state.records.insert(name, text);
        }
        Box::pin(ready(Ok(is_new)))
    }

    fn read(&self, name: String) -> BoxFuture<'_, Result<Bytes, Error>> {
        let found = self.state().records.get(&name).cloned();
        Box::pin(ready(found.ok_or(Error::NotFound)))
    }

    fn list(&self, folder: String) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        let state = self.state();
        let within = |name: &&String| {
            folder.is_empty()
                || name
                    .strip_prefix(folder.trim_end_matches('/'))
                    .is_some_and(|rest| rest.starts_with('/'))
        };
        let names = state.records.keys().filter(within).cloned().collect();
        Box::pin(ready(Ok(names)))
    }

    fn remove(&self, name: String) -> BoxFuture<'_, Result<(), Error>> {
        self.state().records.remove(&name);
        Box::pin(ready(Ok(())))
    }
}
