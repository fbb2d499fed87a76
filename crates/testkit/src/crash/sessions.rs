//! Upload sessions: begun, continued, broken off by a kill, and taken up again.

use std::sync::atomic::Ordering;

use lazuli_wire::oci::{Algorithm, Digest};

use super::client::{Client, Request, Stop, location};
use super::ledger::Effect;
use super::random::content;
use crate::http::Response;

/// An upload session as its client knows it.
#[derive(Debug, Clone)]
pub struct Session {
    repository: String,
    target: String,
    /// What makes its content.
    seed: u64,
    /// The length of its content, in bytes.
    pub size: u64,
    digest: Digest,
    /// How many bytes the server acknowledged.
    pub acknowledged: u64,
    pending: Pending,
    /// Whether a kill cut off its closing request, which may have done some of its work: then what is left may be told to
    /// begin anew.
    is_doubtful: bool,
    /// Whether a request was not answered, which may still have its effect at any time.
    is_uncertain: bool,
    /// Whether the server was asked for it and knew it: then not even a crash of the database forgets it as a whole.
    is_known: bool,
    /// How many bytes there are at most: a chunk that was not answered may still arrive.
    most: u64,
    /// How often the database had crashed when its place was last known.
    forgets: u64,
}

/// The last request of a session, if it was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    Nothing,
    /// A chunk of that length.
    Chunk(u64),
    Finish,
    Cancel,
}

impl Session {
    fn rest(&self) -> Vec<u8> {
        content(self.seed, self.size as usize).split_off(self.acknowledged as usize)
    }

    /// Whether the database crashed since the place of this session was known, or does so now.
    fn may_be_forgotten(&self, forgets: u64) -> bool {
        self.forgets != forgets || forgets % 2 == 1
    }

    /// Whether the server may not know it, because a request had an effect that was not told, or was forgotten.
    fn may_be_over(&self, forgets: u64) -> bool {
        self.is_doubtful || !self.is_known && self.may_be_forgotten(forgets)
    }

    /// The status was asked: whether the server may say so. Then the session goes on from there.
    fn is_found_at(&mut self, offset: u64, forgets: u64) -> bool {
        let least = if self.may_be_forgotten(forgets) {
            0
        } else {
            self.acknowledged
        };
        let may_be = (least..=self.most).contains(&offset);
        if may_be {
            self.acknowledged = offset;
            self.is_doubtful |= matches!(self.pending, Pending::Finish | Pending::Cancel);
            self.pending = Pending::Nothing;
            self.is_known |= offset > 0 && forgets.is_multiple_of(2);
            self.forgets = forgets;
        }
        may_be
    }
}

/// How many bytes the server has, by the `Range` of its answer. Of none it says `0-0`, so sessions of one byte are not used.
fn offset(response: &Response) -> Option<u64> {
    let last: u64 = response.header("range")?.strip_prefix("0-")?.parse().ok()?;
    Some(if last == 0 { 0 } else { last + 1 })
}

impl Client<'_> {
    /// Begins a session for that content; its place in the list of sessions, if the server began it.
    pub fn start_session(
        &mut self,
        repository: &str,
        (seed, size): (u64, u64),
        digest: Digest,
    ) -> Result<Option<usize>, Stop> {
        let is_announced = self.random.percent(50);
        let query = match digest.algorithm() {
            Algorithm::Sha512 if is_announced => "?digest-algorithm=sha512",
            _ => "",
        };
        let target = format!("/v2/{repository}/blobs/uploads/{query}");
        let request = Request {
            method: "POST",
            target: &target,
            headers: &[],
            body: &[],
        };
        let response = self.ask(request)?;
        match (response.status, location(&response)) {
            (202, Some(target)) => {
                self.shared.count("sessions");
                self.sessions.push(Session {
                    repository: repository.to_owned(),
                    target,
                    seed,
                    size,
                    digest,
                    acknowledged: 0,
                    pending: Pending::Nothing,
                    is_doubtful: false,
                    is_uncertain: false,
                    is_known: false,
                    most: 0,
                    forgets: self.shared.forgets.load(Ordering::SeqCst),
                });
                Ok(Some(self.sessions.len() - 1))
            }
            (429 | 503, _) => Ok(None),
            (status, _) => {
                self.unexpected(request, status, &response);
                Ok(None)
            }
        }
    }

    /// Sends a chunk; whether the server has it. `is_streamed`: without its length.
    pub fn append(&mut self, place: usize, length: u64, is_streamed: bool) -> Result<bool, Stop> {
        let session = &mut self.sessions[place];
        session.pending = Pending::Chunk(length);
        session.most = session.most.max(session.acknowledged + length);
        let mut chunk = session.rest();
        chunk.truncate(length as usize);
        let (start, before) = (session.acknowledged, session.clone());
        let range = format!("{start}-{}", start + length - 1);
        let headers = if is_streamed {
            [("Transfer-Encoding", "chunked"), OCTETS]
        } else {
            [("Content-Range", range.as_str()), OCTETS]
        };
        let target = session.target.clone();
        let request = Request {
            method: "PATCH",
            target: &target,
            headers: &headers,
            body: &chunk,
        };
        let response = self.ask(request)?;
        let forgets = self.shared.forgets.load(Ordering::SeqCst);
        match response.status {
            404 if before.may_be_over(forgets) => {
                self.shared.count("closing requests to be repeated in full");
            }
            202 if offset(&response) == Some(start + length) => {
                self.shared.count("chunks");
                let session = &mut self.sessions[place];
                session.pending = Pending::Nothing;
                session.acknowledged += length;
                if let Some(target) = location(&response) {
                    session.target = target;
                }
                return Ok(true);
            }
            status if self.is_to_be_asked(place, status) => {
                self.shared.count("sessions to be asked for");
                return Ok(false);
            }
            429 | 503 => self.shared.count("busy"),
            status => self.unexpected(request, status, &response),
        }
        self.sessions.remove(place);
        Ok(false)
    }

    /// Whether a session of a group goes on after this answer, once it was asked where it is: the server failed, or an
    /// earlier chunk arrived late, or was forgotten.
    fn is_to_be_asked(&self, place: usize, status: u16) -> bool {
        let session = &self.sessions[place];
        let is_elsewhere = session.is_uncertain
            || session.may_be_forgotten(self.shared.forgets.load(Ordering::SeqCst));
        let is_told = matches!(status, 409 | 416) && is_elsewhere;
        self.shared.is_group && (status >= 500 || status == 429 || is_told)
    }

    /// Sends what is left and closes the session; whether it is a blob now.
    pub fn finish(&mut self, place: usize) -> Result<bool, Stop> {
        let session = &mut self.sessions[place];
        session.pending = Pending::Finish;
        let (digest, size, before) = (session.digest, session.size, session.clone());
        let separator = if session.target.contains('?') {
            '&'
        } else {
            '?'
        };
        let target = format!("{}{separator}digest={digest}", session.target);
        let (repository, rest) = (session.repository.clone(), session.rest());
        let range = format!("{}-{}", session.acknowledged, size.saturating_sub(1));
        let ranged = [OCTETS, ("Content-Range", range.as_str())];
        session.most = size;
        self.shared.ledger.with(&repository, |found| {
            found.know_blob(digest, size, false);
        });
        let request = Request {
            method: "PUT",
            target: &target,
            headers: if self.shared.is_group && !rest.is_empty() {
                &ranged
            } else {
                &ranged[..1]
            },
            body: &rest,
        };
        let effects = vec![Effect::Blob(digest, true)];
        // Whether it may be refused so is known afterwards: the database may crash meanwhile.
        let lost_bytes = self.shared.may_forget_sessions && before.is_doubtful;
        let refused: &[u16] = if lost_bytes {
            &[400, 404, 409, 416]
        } else {
            &[404, 409, 416]
        };
        let response = self.change("blobs", &repository, effects, request, (201, refused))?;
        let forgets = self.shared.forgets.load(Ordering::SeqCst);
        let is_to_be_asked = self.is_to_be_asked(place, response.status);
        match response.status {
            404 if before.may_be_over(forgets) => {
                self.shared.count("closing requests to be repeated in full");
            }
            400 if lost_bytes => self.shared.count("sessions whose bytes were lost"),
            status if refused.contains(&status) && !is_to_be_asked => {
                self.unexpected(request, status, &response);
            }
            _ => {}
        }
        if is_to_be_asked {
            self.shared.count("sessions to be asked for");
            return Ok(false);
        }
        self.sessions.remove(place);
        Ok(response.status == 201)
    }

    /// Gives a session up.
    pub fn cancel(&mut self, place: usize) -> Result<(), Stop> {
        let session = &mut self.sessions[place];
        session.pending = Pending::Cancel;
        let (target, before) = (session.target.clone(), session.clone());
        let request = Request {
            method: "DELETE",
            target: &target,
            headers: &[],
            body: &[],
        };
        let response = self.ask(request)?;
        let forgets = self.shared.forgets.load(Ordering::SeqCst);
        match response.status {
            204 => self.shared.count("cancelled sessions"),
            404 if before.may_be_over(forgets) => {}
            status if self.is_to_be_asked(place, status) => return Ok(()),
            429 | 503 => self.shared.count("busy"),
            status => self.unexpected(request, status, &response),
        }
        self.sessions.remove(place);
        Ok(())
    }

    /// After a restart: every session has to be where the server said it was. Some are finished, some cancelled, some left for
    /// the next round. `all`: none is left.
    pub fn take_up_sessions(&mut self, all: bool) -> Result<(), Stop> {
        for place in (0..self.sessions.len()).rev() {
            self.take_up_session(place, all)?;
        }
        Ok(())
    }

    /// A session of which the last request was not answered.
    pub fn doubtful_session(&self) -> Option<usize> {
        let mut sessions = self.sessions.iter();
        sessions.position(|session| session.pending != Pending::Nothing)
    }

    /// Asks where a session is, and goes on from there.
    pub fn take_up_session(&mut self, place: usize, all: bool) -> Result<(), Stop> {
        let target = self.sessions[place].target.clone();
        // A crash that begins from now on may be felt later.
        let forgets = self.shared.forgets.load(Ordering::SeqCst);
        let response = self.get(&target)?;
        let session = &mut self.sessions[place];
        if !self.shared.is_group {
            session.most = match session.pending {
                Pending::Chunk(length) => session.acknowledged + length,
                Pending::Nothing | Pending::Finish | Pending::Cancel => session.acknowledged,
            };
        }
        session.is_uncertain |= session.pending != Pending::Nothing;
        // Its row may be there without its bytes: then it turns out to be over when it goes on.
        session.is_doubtful |= self.shared.may_forget_sessions;
        let before = session.clone();
        let may_be_over = matches!(before.pending, Pending::Finish | Pending::Cancel)
            || self.shared.is_group && before.may_be_over(forgets)
            || self.shared.may_forget_sessions;
        let found = offset(&response).filter(|_| response.status == 204);
        match found {
            Some(offset) if session.is_found_at(offset, forgets) => {
                self.shared.count("sessions taken up");
                if offset < before.acknowledged {
                    self.shared
                        .count("sessions that a crash of the database set back");
                }
                return self.go_on(place, all);
            }
            None if may_be_over && response.status == 404 => {}
            None if self.shared.is_group && response.status >= 429 => return Err(Stop),
            _ => self.shared.violation(format!(
                "session {}: {} bytes were acknowledged, then {:?}; the server says {} with {:?}",
                before.target,
                before.acknowledged,
                before.pending,
                response.status,
                response.header("range"),
            )),
        }
        self.sessions.remove(place);
        Ok(())
    }

    fn go_on(&mut self, place: usize, all: bool) -> Result<(), Stop> {
        let (choice, share) = (self.random.below(100), self.random.between(1, 99));
        let session = &self.sessions[place];
        let (repository, digest) = (session.repository.clone(), session.digest);
        let left = session.size - session.acknowledged;
        if choice < 60 || all {
            let chunk = left * share / 100;
            if chunk > 1 && !self.append(place, chunk, false)? {
                return Ok(());
            }
            if self.finish(place)? {
                self.shared.count("sessions finished after a restart");
                self.verify_blob(&repository, &digest)?;
            }
        } else if choice < 75 {
            self.cancel(place)?;
        }
        Ok(())
    }
}

/// The type of a chunk.
pub const OCTETS: (&str, &str) = ("Content-Type", "application/octet-stream");
