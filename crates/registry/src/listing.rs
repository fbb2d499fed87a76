//! Pages of names: keyset paging, so that a page costs the page and not the table.

use std::sync::OnceLock;

use lazuli_wire::oci::OrderBy;

/// One page of names.
#[derive(Debug, Default)]
pub struct Page {
    /// The names.
    pub names: Vec<Box<str>>,
    /// Whether names follow the last one.
    pub more: bool,
    /// When the last one was updated, if the page is by time.
    pub at: Option<i64>,
    rendered: OnceLock<bytes::Bytes>,
}

/// What page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageRequest<'a> {
    /// Names after this one; it need not exist.
    pub last: Option<&'a str>,
    /// Most names on the page.
    pub limit: u32,
    /// The order.
    pub order_by: OrderBy,
    /// Of a listing by time, when `last` was updated as its page was made, in microseconds since the Unix epoch. `None`: not
    /// known; then it is looked up, and may have changed.
    pub at: Option<i64>,
}

impl Page {
    pub(crate) fn new(mut names: Vec<Box<str>>, limit: u32) -> Self {
        let more = names.len() > limit as usize;
        names.truncate(limit as usize);
        Self {
            names,
            more,
            at: None,
            rendered: OnceLock::new(),
        }
    }

    /// A page by time, of names with their times.
    pub(crate) fn by_time(mut names: Vec<(Box<str>, i64)>, limit: u32) -> Self {
        let more = names.len() > limit as usize;
        names.truncate(limit as usize);
        let at = names.last().map(|(_, at)| *at);
        Self {
            more,
            at,
            ..Self::new(names.into_iter().map(|(name, _)| name).collect(), limit)
        }
    }

    /// The page in a surface's own form, made once and kept with the page.
    pub fn rendered(&self, render: impl FnOnce(&Self) -> bytes::Bytes) -> &bytes::Bytes {
        self.rendered.get_or_init(|| render(self))
    }

    pub(crate) fn weight(&self) -> usize {
        // Twice: the names and, once asked for, their rendered form.
        2 * self.names.iter().map(|n| n.len() + 24).sum::<usize>()
    }
}
