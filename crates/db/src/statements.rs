//! Prepared statements, found again by the address of their text.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// More statements than the program has. A bound in case texts are made at run time and leaked.
const LIMIT: usize = 1024;

/// The prepared statements of a connection.
///
/// The key is where the text lies: a `&'static str` never moves or changes, and an address is compared faster than
/// the text. The same text at two places is prepared twice.
pub(crate) struct Statements<S>(HashMap<(usize, usize), S, BuildHasherDefault<AddressHasher>>);

impl<S> Statements<S> {
    pub(crate) fn new() -> Self {
        Self(HashMap::default())
    }

    /// The statement for `sql`, prepared with `prepare` if it is not there yet.
    pub(crate) fn get<E>(
        &mut self,
        sql: &'static str,
        prepare: impl FnOnce() -> Result<S, E>,
    ) -> Result<&mut S, E> {
        use std::collections::hash_map::Entry;
        if self.0.len() >= LIMIT {
            self.0.clear();
        }
        match self.0.entry((sql.as_ptr().addr(), sql.len())) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => Ok(entry.insert(prepare()?)),
        }
    }
}

/// Addresses are spread well enough by one multiplication.
#[derive(Default)]
pub(crate) struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    fn write_usize(&mut self, value: usize) {
        self.0 = (self.0.rotate_left(5) ^ value as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_prepared_once() {
        let mut statements = Statements::new();
        let mut prepared = 0;
        for sql in ["SELECT 1", "SELECT 2", "SELECT 1", "SELECT 2"] {
            let made = statements.get(sql, || {
                prepared += 1;
                Ok::<_, ()>(sql)
            });
            assert_eq!(made, Ok(&mut { sql }));
        }
        assert_eq!(prepared, 2);
        assert_eq!(statements.get("SELECT 3", || Err("no")), Err("no"));
    }
}
