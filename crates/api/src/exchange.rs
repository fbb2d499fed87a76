//! One request and its answer, accounted for exactly once however it ends: answered, cut off in the middle of the
//! body, or abandoned by the client while the handler was at work.

use std::sync::Arc;

use http::request::Parts;
use lazuli_identity::Principal;
use tokio::time::Instant;

use crate::access_log::Note;
use crate::connections::Connection;
use crate::metrics::{Endpoint, Metrics};
use crate::request_id::{RequestId, RequestIds};

/// What every exchange of a server shares.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) metrics: Metrics,
    pub(crate) ids: RequestIds,
}

/// One request and its answer.
#[derive(Debug)]
pub(crate) struct Exchange {
    observed: Arc<Observed>,
    connection: Arc<Connection>,
    started: Instant,
    id: RequestId,
    endpoint: Endpoint,
    status: u16,
    sent: u64,
    note: Option<Box<Note>>,
    is_over: bool,
}

impl Exchange {
    /// A request has arrived.
    pub(crate) fn begin(
        observed: &Arc<Observed>,
        connection: &Arc<Connection>,
        request: &Parts,
    ) -> Self {
        connection.begin_request();
        Self {
            observed: observed.clone(),
            connection: connection.clone(),
            started: Instant::now(),
            id: observed.ids.next(),
            endpoint: Endpoint::Other,
            status: 0,
            sent: 0,
            note: Note::is_wanted().then(|| Box::new(Note::new(request, connection.remote()))),
            is_over: false,
        }
    }

    pub(crate) fn id(&self) -> RequestId {
        self.id
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// What the request is for.
    pub(crate) fn set_endpoint(&mut self, endpoint: Endpoint) {
        self.endpoint = endpoint;
    }

    /// Who asks, for the log.
    pub(crate) fn set_principal(&mut self, principal: &Principal) {
        if let Some(note) = &mut self.note {
            note.principal = Some(principal.clone());
        }
    }

    /// Adds to the log line, if there will be one.
    pub(crate) fn note(&mut self, write: impl FnOnce(&mut Note)) {
        if let Some(note) = &mut self.note {
            write(note);
        }
    }

    /// The answer's head is decided; what follows of the body is reported by [`sent`](Self::sent).
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = status;
    }

    /// Body bytes were handed to the transport.
    pub(crate) fn sent(&mut self, count: usize) {
        self.sent += count as u64;
    }

    /// Whether the body still has to be followed until it is sent.
    pub(crate) fn has_note(&self) -> bool {
        self.note.is_some()
    }

    /// The exchange is over and complete.
    pub(crate) fn complete(&mut self) {
        if !self.is_over {
            self.end(true);
        }
    }

    fn end(&mut self, is_complete: bool) {
        self.is_over = true;
        let took = self.started.elapsed();
        let received = self.connection.request_bytes();
        let status = is_complete.then_some(self.status);
        self.observed
            .metrics
            .request(self.endpoint, status, took, received, self.sent);
        if let Some(note) = self.note.take() {
            note.write(self.id, self.status, is_complete, took, received, self.sent);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.is_over {
            self.end(false);
        }
    }
}
