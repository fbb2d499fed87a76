//! What the HTTP server counts, and its rendering as OpenMetrics text.
//!
//! Everything a request touches is an array of atomics made at start: no locks, no look-up by name, no allocation.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::exposition::Exposition;

/// What a request was for, as the value of the label `endpoint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Endpoint {
    Base,
    Manifest,
    Blob,
    Upload,
    Tags,
    Catalog,
    Referrers,
    Extensions,
    Attributes,
    Token,
    SignIn,
    Graph,
    Management,
    Health,
    Metrics,
    Other,
}

impl Endpoint {
    const ALL: [(Self, &'static str); 16] = [
        (Self::Base, "base"),
        (Self::Manifest, "manifest"),
        (Self::Blob, "blob"),
        (Self::Upload, "upload"),
        (Self::Tags, "tags"),
        (Self::Catalog, "catalog"),
        (Self::Referrers, "referrers"),
        (Self::Extensions, "extensions"),
        (Self::Attributes, "attributes"),
        (Self::Token, "token"),
        (Self::SignIn, "sign_in"),
        (Self::Graph, "graph"),
        (Self::Management, "management"),
        (Self::Health, "health"),
        (Self::Metrics, "metrics"),
        (Self::Other, "other"),
    ];
}

/// Upper bounds of the buckets of durations, in microseconds, and as they are written.
const BUCKETS: [(u64, &str); 15] = [
    (100, "0.0001"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (1_000_000, "1.0"),
    (2_500_000, "2.5"),
    (10_000_000, "10.0"),
    (60_000_000, "60.0"),
    (600_000_000, "600.0"),
];

/// How a request ended: index 0 is "the client went away", the others are the first digit of the status.
const CLASSES: [&str; 6] = ["aborted", "1xx", "2xx", "3xx", "4xx", "5xx"];

#[derive(Debug, Default)]
struct PerEndpoint {
    classes: [AtomicU64; CLASSES.len()],
    buckets: [AtomicU64; BUCKETS.len() + 1],
    microseconds: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

/// Why a connection was turned away or ended early, as the value of the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ConnectionFault {
    /// Too many connections.
    Refused,
    /// The TLS handshake failed.
    Handshake,
    /// A deadline passed.
    Deadline,
    /// The bytes were no HTTP request, or its head was too large.
    Malformed,
    /// The transport failed.
    Transport,
}

const FAULTS: [&str; 5] = ["refused", "handshake", "deadline", "malformed", "transport"];

/// The counters of one server.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    endpoints: [PerEndpoint; Endpoint::ALL.len()],
    accepted: AtomicU64,
    faults: [AtomicU64; FAULTS.len()],
    rate_limited: AtomicU64,
}

impl Metrics {
    /// One request is over. `status` is `None` when the client went away first.
    pub(crate) fn request(
        &self,
        endpoint: Endpoint,
        status: Option<u16>,
        took: Duration,
        received: u64,
        sent: u64,
    ) {
        let counters = &self.endpoints[endpoint as usize];
        let class = usize::from(status.unwrap_or(0) / 100).min(CLASSES.len() - 1);
        counters.classes[class].fetch_add(1, Relaxed);
        if status == Some(429) {
            self.rate_limited.fetch_add(1, Relaxed);
        }
        let took = took.as_micros() as u64;
        let bucket = BUCKETS
            .iter()
            .position(|(bound, _)| took <= *bound)
            .unwrap_or(BUCKETS.len());
        counters.buckets[bucket].fetch_add(1, Relaxed);
        counters.microseconds.fetch_add(took, Relaxed);
        if received != 0 {
            counters.received.fetch_add(received, Relaxed);
        }
        if sent != 0 {
            counters.sent.fetch_add(sent, Relaxed);
        }
    }

    pub(crate) fn accepted(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    pub(crate) fn fault(&self, fault: ConnectionFault) {
        self.faults[fault as usize].fetch_add(1, Relaxed);
    }

    /// Writes all counters.
    pub(crate) fn render(&self, out: &mut Exposition) {
        out.family(
            "lazuli_http_requests",
            "counter",
            "Requests answered, by outcome.",
        );
        self.each(|name, counters| {
            for (class, count) in CLASSES.iter().zip(&counters.classes) {
                let count = count.load(Relaxed);
                if count > 0 {
                    out.sample(
                        "_total",
                        &[("endpoint", name), ("status", class)],
                        count as f64,
                    );
                }
            }
        });
        out.family(
            "lazuli_http_request_duration_seconds",
            "histogram",
            "From the end of a request's head to the last byte handed to the transport.",
        );
        self.each(|name, counters| render_histogram(out, name, counters));
        out.family(
            "lazuli_http_request_body_bytes",
            "counter",
            "Request body bytes received.",
        );
        self.each(|name, counters| {
            out.sample("_total", &[("endpoint", name)], load(&counters.received));
        });
        out.family(
            "lazuli_http_response_body_bytes",
            "counter",
            "Response body bytes sent.",
        );
        self.each(|name, counters| {
            out.sample("_total", &[("endpoint", name)], load(&counters.sent));
        });
        out.family(
            "lazuli_http_connections_accepted",
            "counter",
            "Connections accepted.",
        );
        out.sample("_total", &[], load(&self.accepted));
        out.family(
            "lazuli_http_connection_faults",
            "counter",
            "Connections turned away or ended early.",
        );
        for (reason, count) in FAULTS.iter().zip(&self.faults) {
            out.sample("_total", &[("reason", reason)], load(count));
        }
        out.family(
            "lazuli_http_rate_limited",
            "counter",
            "Requests answered 429: their caller exceeded a rate, a quota or its part of what is scarce.",
        );
        out.sample("_total", &[], load(&self.rate_limited));
    }

    /// The endpoints that were asked for at least once.
    fn each(&self, mut visit: impl FnMut(&'static str, &PerEndpoint)) {
        for (endpoint, name) in Endpoint::ALL {
            let counters = &self.endpoints[endpoint as usize];
            if counters.buckets.iter().any(|count| count.load(Relaxed) > 0) {
                visit(name, counters);
            }
        }
    }
}

fn load(counter: &AtomicU64) -> f64 {
    counter.load(Relaxed) as f64
}

fn render_histogram(out: &mut Exposition, name: &'static str, counters: &PerEndpoint) {
    let mut sum = 0;
    for (index, count) in counters.buckets.iter().enumerate() {
        sum += count.load(Relaxed);
        let bound = BUCKETS.get(index).map_or("+Inf", |(_, text)| text);
        out.sample("_bucket", &[("endpoint", name), ("le", bound)], sum as f64);
    }
    out.sample("_count", &[("endpoint", name)], sum as f64);
    out.sample(
        "_sum",
        &[("endpoint", name)],
        load(&counters.microseconds) / 1e6,
    );
}

/// Adds what the database has done.
pub(crate) fn render_database(out: &mut Exposition, stats: &lazuli_db::Stats) {
    let counters = [
        (
            "lazuli_db_commits",
            "Commits, each of one or more write transactions.",
            stats.commits,
        ),
        (
            "lazuli_db_transactions",
            "Write transactions that took effect.",
            stats.transactions,
        ),
        ("lazuli_db_reads", "Read transactions.", stats.reads),
        (
            "lazuli_db_retries",
            "Transactions that were repeated.",
            stats.retries,
        ),
        (
            "lazuli_db_slow",
            "Transactions that ran longer than 20 ms.",
            stats.slow,
        ),
    ];
    out.counters(&counters);
    out.family(
        "lazuli_db_queue",
        "gauge",
        "Transactions waiting for a thread.",
    );
    out.sample("", &[("kind", "write")], stats.write_queue as f64);
    out.sample("", &[("kind", "read")], stats.read_queue as f64);
    out.family(
        "lazuli_db_read_only",
        "gauge",
        "1 when writes are refused after a failed commit.",
    );
    out.sample("", &[], f64::from(u8::from(stats.read_only)));
}

/// Adds what the kernel says of this process: memory, processor time, open files.
pub(crate) fn render_process(out: &mut Exposition) {
    let Some((cpu, resident)) = process_statistics() else {
        return;
    };
    out.family(
        "process_cpu_seconds",
        "counter",
        "Processor time of the process.",
    );
    out.sample("_total", &[], cpu);
    out.family(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory of the process.",
    );
    out.sample("", &[], resident);
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        out.family("process_open_fds", "gauge", "Open file descriptors.");
        out.sample("", &[], files.count() as f64);
    }
}

/// Seconds of processor time, and resident memory in bytes.
fn process_statistics() -> Option<(f64, f64)> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the name in parentheses, which may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<f64>().ok();
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let page = rustix::param::page_size() as f64;
    Some(((number(11)? + number(12)?) / ticks, number(21)? * page))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn endpoints_are_indexed_by_their_position() {
        for (index, (endpoint, _)) in Endpoint::ALL.iter().enumerate() {
            assert_eq!(*endpoint as usize, index);
        }
    }

    #[test]
    fn requests_are_counted_by_outcome_and_duration() {
        let metrics = Metrics::default();
        let (short, long) = (Duration::from_micros(400), Duration::from_hours(1));
        metrics.request(Endpoint::Blob, Some(206), short, 0, 1000);
        metrics.request(Endpoint::Blob, None, long, 7, 24);
        metrics.fault(ConnectionFault::Deadline);
        let mut out = Exposition::default();
        metrics.render(&mut out);
        let text = out.finish();
        for line in [
            "lazuli_http_requests_total{endpoint=\"blob\",status=\"2xx\"} 1",
            "lazuli_http_requests_total{endpoint=\"blob\",status=\"aborted\"} 1",
            "lazuli_http_request_duration_seconds_bucket{endpoint=\"blob\",le=\"0.0001\"} 0",
            "lazuli_http_request_duration_seconds_bucket{endpoint=\"blob\",le=\"0.0005\"} 1",
            "lazuli_http_request_duration_seconds_bucket{endpoint=\"blob\",le=\"600.0\"} 1",
            "lazuli_http_request_duration_seconds_bucket{endpoint=\"blob\",le=\"+Inf\"} 2",
            "lazuli_http_request_duration_seconds_count{endpoint=\"blob\"} 2",
            "lazuli_http_request_duration_seconds_sum{endpoint=\"blob\"} 3600.0004",
            "lazuli_http_request_body_bytes_total{endpoint=\"blob\"} 7",
            "lazuli_http_response_body_bytes_total{endpoint=\"blob\"} 1024",
            "lazuli_http_connection_faults_total{reason=\"deadline\"} 1",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\nin\n{text}");
        }
        assert!(!text.contains("endpoint=\"manifest\""));
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_process_is_described() {
        let (cpu, resident) = process_statistics().unwrap();
        assert!(cpu >= 0.0 && resident > 100_000.0);
    }
}
