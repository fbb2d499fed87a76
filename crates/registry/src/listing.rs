//! Pages of names: keyset paging, so that a page costs the page and not the table.

use std::sync::OnceLock;

/// One page of names in byte order.
#[derive(Debug, Default)]
pub struct Page {
    /// The names.
    pub names: Vec<Box<str>>,
    /// Whether names follow the last one.
    pub more: bool,
    rendered: OnceLock<bytes::Bytes>,
}

/// What page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest<'a> {
    /// Names after this one; it need not exist.
    pub last: Option<&'a str>,
    /// Most names on the page.
    pub limit: u32,
}

impl Page {
    pub(crate) fn new(mut names: Vec<Box<str>>, limit: u32) -> Self {
        let more = names.len() > limit as usize;
        names.truncate(limit as usize);
        Self {
            names,
            more,
            rendered: OnceLock::new(),
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
