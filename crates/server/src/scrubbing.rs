//! How stored bytes are verified, and what monitoring reads of it.

use lazuli_api::Exposition;
use lazuli_registry::scrub::{Counters, Options, Scrub};

use crate::config::Settings;

/// As the settings say.
pub(crate) fn options(settings: &Settings) -> Options {
    Options {
        enabled: settings.scrub.enabled,
        ..Options::new(settings.scrub.period.0, settings.scrub.rate.0)
    }
}

/// Adds the scrub's metrics to an exposition.
pub(crate) fn collector(scrub: &Scrub) -> Box<dyn Fn(&mut Exposition) + Send + Sync> {
    let scrub = scrub.clone();
    Box::new(move |out| expose(scrub.counters(), out))
}

fn expose(counters: &Counters, out: &mut Exposition) {
    let counted = [
        (
            "lazuli_scrub_items",
            "Blobs and manifests that this server verified.",
            counters.items(),
        ),
        (
            "lazuli_scrub_bytes",
            "Stored bytes that this server hashed again.",
            counters.bytes(),
        ),
        (
            "lazuli_scrub_damaged",
            "Blobs and manifests that this server found damaged.",
            counters.damaged(),
        ),
        (
            "lazuli_scrub_replaced",
            "Damaged blobs for which this server found a good copy.",
            counters.replaced(),
        ),
        (
            "lazuli_scrub_unavailable",
            "Times that the blob store did not give this server a blob to be verified.",
            counters.unavailable(),
        ),
    ];
    out.counters(&counted);
    out.family(
        "lazuli_scrub_waiting_blobs",
        "gauge",
        "Blobs whose damaged bytes were put aside and that nobody pushed since, as of the last complete pass.",
    );
    out.sample("", &[], counters.waiting() as f64);
    out.family(
        "lazuli_scrub_progress_ratio",
        "gauge",
        "How much of the pass under way is done; 1 between two passes.",
    );
    out.sample("", &[], counters.progress());
    out.family(
        "lazuli_scrub_behind_seconds",
        "gauge",
        "How late the pass under way is: scrub.rate is too low for scrub.period, or no server ran.",
    );
    out.sample("", &[], counters.behind().as_secs_f64());
    if let Some(at) = counters.completed_at() {
        out.family(
            "lazuli_scrub_last_completed_timestamp_seconds",
            "gauge",
            "When every stored byte had been verified last, in seconds since 1970.",
        );
        out.sample("", &[], at as f64 / 1e6);
    }
}
