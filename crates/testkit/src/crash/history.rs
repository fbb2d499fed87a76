//! What a value may be, after writes of which some were acknowledged, some overlapped, and some were never answered.
//!
//! A write happens at one moment between its request and its answer; one that was never answered may have happened at any
//! moment after its request, or not at all. A reader may therefore see the value of a write unless another one, which was
//! acknowledged before the read began, was sent after the answer to the first.

/// A point in the order of requests and answers.
pub type Tick = u64;

/// From a request to its answer. No end: there was none (yet).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// When the request was sent.
    pub begun: Tick,
    /// When its success was acknowledged.
    pub ended: Option<Tick>,
}

impl Span {
    /// Whether this write was acknowledged before a read, and sent after the answer to `other`.
    fn hides(self, other: Span, read: Tick) -> bool {
        self.ended.is_some_and(|ended| ended < read)
            && other.ended.is_some_and(|ended| self.begun > ended)
    }
}

/// A write to something else that takes this value away, if it is there: deleting a manifest takes its tags away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal {
    /// When.
    pub span: Span,
    /// Whether it must have done so, and not only may have.
    pub is_certain: bool,
}

#[derive(Debug, Clone)]
struct Write<V> {
    operation: u64,
    value: V,
    span: Span,
}

/// The writes to one value since it was last known for certain.
#[derive(Debug, Clone)]
pub struct History<V> {
    settled: V,
    writes: Vec<Write<V>>,
}

impl<V: Clone + PartialEq> History<V> {
    /// A value that is known.
    pub fn new(settled: V) -> Self {
        Self {
            settled,
            writes: Vec::new(),
        }
    }

    /// A write was sent.
    pub fn begin(&mut self, operation: u64, value: V, begun: Tick) {
        self.writes.push(Write {
            operation,
            value,
            span: Span { begun, ended: None },
        });
    }

    /// The write was acknowledged.
    pub fn acknowledge(&mut self, operation: u64, ended: Tick) {
        let of_operation = |write: &&mut Write<V>| write.operation == operation;
        for write in self.writes.iter_mut().filter(of_operation) {
            write.span.ended.get_or_insert(ended);
        }
    }

    /// A read that has ended saw the value: if only one write can have been its origin, that one has happened by now, and
    /// has to last although its client was not told yet.
    pub fn saw(&mut self, value: &V, now: Tick) {
        let is_old = self.settled == *value;
        let mut writes = self.writes.iter_mut().filter(|w| w.value == *value);
        if let (Some(write), None, false) = (writes.next(), writes.next(), is_old) {
            write.span.ended.get_or_insert(now);
        }
    }

    /// The write was refused: it did not happen.
    pub fn withdraw(&mut self, operation: u64) {
        self.writes.retain(|write| write.operation != operation);
    }

    /// The value is known again: all that was sent has happened by now, or never will.
    pub fn settle(&mut self, value: V) {
        *self = Self::new(value);
    }

    /// The value last known for certain.
    pub fn settled(&self) -> &V {
        &self.settled
    }

    /// Whether something was written since.
    pub fn is_touched(&self) -> bool {
        !self.writes.is_empty()
    }

    /// When a value was, or may have been, written.
    pub fn spans_of(&self, value: &V) -> impl Iterator<Item = Span> {
        let settled = (self.settled == *value).then_some(SETTLED);
        let writes = self.writes.iter().filter(move |w| w.value == *value);
        settled.into_iter().chain(writes.map(|write| write.span))
    }

    /// As [`History::spans_of`], without the time before the value was last known.
    pub fn writes_of(&self, value: &V) -> impl Iterator<Item = Span> {
        let writes = self.writes.iter().filter(move |w| w.value == *value);
        writes.map(|write| write.span)
    }

    /// Whether a read that began at `read` and has ended may have seen the value, which removals elsewhere may have hidden.
    pub fn allows(&self, value: &V, read: Tick, removals: &[Removal]) -> bool {
        let certain = removals.iter().filter(|removal| removal.is_certain);
        let hiding: Vec<Span> = self
            .writes
            .iter()
            .map(|write| write.span)
            .chain(certain.map(|removal| removal.span))
            .collect();
        self.spans_of(value)
            .any(|span| !hiding.iter().any(|other| other.hides(span, read)))
    }

    /// Whether a read may have found nothing because of removals elsewhere.
    pub fn allows_removed(&self, read: Tick, removals: &[Removal]) -> bool {
        removals.iter().any(|removal| {
            let writes = self.writes.iter();
            !writes
                .into_iter()
                .any(|write| write.span.hides(removal.span, read))
        })
    }
}

/// What was known before everything else.
const SETTLED: Span = Span {
    begun: 0,
    ended: Some(0),
};

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Tick = 1000;

    /// A history of writes: (value, begun, ended).
    fn history(writes: &[(char, Tick, Option<Tick>)]) -> History<char> {
        let mut history = History::new('0');
        for (operation, (value, begun, ended)) in (1..).zip(writes) {
            history.begin(operation, *value, *begun);
            if let Some(ended) = ended {
                history.acknowledge(operation, *ended);
            }
        }
        history
    }

    fn allowed(history: &History<char>, read: Tick) -> String {
        let all = "0abc".chars();
        all.filter(|value| history.allows(value, read, &[]))
            .collect()
    }

    #[test]
    fn an_acknowledged_write_hides_what_was_before() {
        assert_eq!(allowed(&history(&[]), LATER), "0");
        assert_eq!(allowed(&history(&[('a', 1, Some(2))]), LATER), "a");
        let both = history(&[('a', 1, Some(2)), ('b', 3, Some(4))]);
        assert_eq!(allowed(&both, LATER), "b");
    }

    #[test]
    fn an_unanswered_write_may_have_happened_or_not() {
        let history = history(&[('a', 1, Some(2)), ('b', 3, None)]);
        assert_eq!(allowed(&history, LATER), "ab");
    }

    #[test]
    fn an_unanswered_write_may_have_happened_late() {
        let history = history(&[('a', 1, None), ('b', 2, Some(3))]);
        assert_eq!(allowed(&history, LATER), "ab");
    }

    #[test]
    fn of_writes_that_overlap_either_may_be_last() {
        let history = history(&[('a', 1, Some(3)), ('b', 2, Some(4))]);
        assert_eq!(allowed(&history, LATER), "ab");
    }

    #[test]
    fn a_read_may_miss_a_write_that_was_not_acknowledged_before_it_began() {
        let history = history(&[('a', 1, Some(2)), ('b', 3, Some(6))]);
        assert_eq!(allowed(&history, 5), "ab");
        assert_eq!(allowed(&history, 7), "b");
    }

    #[test]
    fn a_refused_write_leaves_nothing() {
        let mut history = history(&[('a', 1, Some(2)), ('b', 3, None)]);
        history.withdraw(2);
        assert_eq!(allowed(&history, LATER), "a");
    }

    #[test]
    fn what_somebody_saw_has_happened() {
        let mut seen = history(&[('a', 1, None)]);
        seen.saw(&'a', 2);
        assert_eq!(allowed(&seen, LATER), "a");
        let mut either = history(&[('a', 1, None), ('a', 2, None)]);
        either.saw(&'a', 3);
        assert_eq!(allowed(&either, LATER), "0a");
    }

    #[test]
    fn what_is_known_is_all_there_is() {
        let mut history = history(&[('a', 1, Some(2)), ('b', 3, None)]);
        history.settle('b');
        assert!(!history.is_touched());
        assert_eq!(allowed(&history, LATER), "b");
    }

    #[test]
    fn a_removal_elsewhere_takes_what_was_there_and_not_what_came_later() {
        let history = history(&[('a', 1, Some(2)), ('b', 5, Some(6))]);
        let removal = |begun, ended, is_certain| Removal {
            span: Span { begun, ended },
            is_certain,
        };
        let after_b = [removal(7, Some(8), true)];
        assert!(!history.allows(&'b', LATER, &after_b));
        assert!(history.allows_removed(LATER, &after_b));
        let before_b = [removal(3, Some(4), true)];
        assert!(history.allows(&'b', LATER, &before_b));
        assert!(!history.allows_removed(LATER, &before_b));
        for unsure in [removal(7, None, true), removal(7, Some(8), false)] {
            assert!(history.allows(&'b', LATER, &[unsure]));
            assert!(history.allows_removed(LATER, &[unsure]));
        }
    }
}
