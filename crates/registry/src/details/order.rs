//! Where a page begins. A listing by time goes on from the time of its last entry, which only the link to the next page knows:
//! the entry may have been updated since, and be somewhere else.

use lazuli_wire::oci::OrderBy;

use crate::listing::PageRequest;

/// A page as it was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) last: Option<Box<str>>,
    pub(crate) limit: u32,
    pub(crate) order_by: OrderBy,
    pub(crate) at: Option<i64>,
}

impl Start {
    pub(crate) fn new(request: PageRequest<'_>) -> Self {
        Self {
            last: request.last.map(Into::into),
            limit: request.limit,
            order_by: request.order_by,
            at: request.at,
        }
    }

    /// The time to go on from. `find`: when the last entry was updated, for a client that knows no more than its name. Of one
    /// that nobody knows the listing begins anew: entries come again, but none is left out.
    pub(crate) fn time<E>(
        &self,
        find: impl FnOnce(&str) -> Result<Option<i64>, E>,
    ) -> Result<Option<i64>, E> {
        match (&self.last, self.at) {
            (None, _) => Ok(None),
            (Some(_), Some(at)) => Ok(Some(at)),
            (Some(last), None) => find(last),
        }
    }
}

/// A position before all others in an order.
pub(crate) const fn before_all(order_by: OrderBy) -> i64 {
    match order_by {
        OrderBy::TimeDescending => i64::MAX,
        OrderBy::Name | OrderBy::TimeAscending => i64::MIN,
    }
}
