//! Access tokens that were just issued: who asks the same again gets the same, because a signature is a hundred times the
//! work of everything else.

use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// Bytes the cache may hold.
const CAPACITY: u64 = 2 * 1024 * 1024;
/// What an entry costs besides its texts.
const ENTRY_OVERHEAD: usize = 128;

/// For so long, in microseconds, equal requests get the same token. Tokens end that much earlier at most.
pub(crate) const WINDOW: i64 = 10_000_000;

#[derive(Clone)]
struct Weight;

impl Weighter<Box<[u8]>, Box<str>> for Weight {
    fn weight(&self, claims: &Box<[u8]>, token: &Box<str>) -> u64 {
        (claims.len() + token.len() + ENTRY_OVERHEAD) as u64
    }
}

/// Tokens by all that they say, but for their own number, and by the key that signed them: whatever would make another token
/// (another right, password, lifetime, key, or the next window) is another entry.
pub(crate) struct Issued(Cache<Box<[u8]>, Box<str>, Weight>);

impl Issued {
    pub(crate) fn new() -> Self {
        Self(Cache::with_weighter(1024, CAPACITY, Weight))
    }

    pub(crate) fn get(&self, claims: &[u8]) -> Option<String> {
        self.0.get(claims).map(String::from)
    }

    pub(crate) fn insert(&self, claims: Vec<u8>, token: &str) {
        self.0.insert(claims.into(), token.into());
    }
}
