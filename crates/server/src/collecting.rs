//! What monitoring reads of garbage collection.

use lazuli_api::Exposition;
use lazuli_registry::gc::{Counters, Gc, Phase};

/// Adds garbage collection's metrics to an exposition.
pub(crate) fn collector(gc: &Gc) -> Box<dyn Fn(&mut Exposition) + Send + Sync> {
    let gc = gc.clone();
    Box::new(move |out| expose(gc.counters(), out))
}

fn expose(counters: &Counters, out: &mut Exposition) {
    let (totals, (passes, failures)) = (counters.totals(), counters.passes());
    let counted = [
        (
            "lazuli_gc_passes",
            "Passes of garbage collection that this server brought to their end.",
            passes,
        ),
        (
            "lazuli_gc_failures",
            "Passes of garbage collection that failed on this server.",
            failures,
        ),
        (
            "lazuli_gc_examined",
            "Rows and files that this server's garbage collection looked at.",
            totals.examined,
        ),
        (
            "lazuli_gc_unlinked_blobs",
            "Blobs that this server took out of a repository because nothing named them.",
            totals.unlinked,
        ),
        (
            "lazuli_gc_condemned_blobs",
            "Blobs that left their last repository by this server's garbage collection.",
            totals.condemned,
        ),
        (
            "lazuli_gc_deleted_blobs",
            "Blobs and files that this server deleted.",
            totals.deleted,
        ),
        (
            "lazuli_gc_freed_bytes",
            "Bytes that this server gave back.",
            totals.freed_bytes,
        ),
        (
            "lazuli_gc_removed_manifests",
            "Manifests of deleted repositories that this server removed.",
            totals.manifests,
        ),
        (
            "lazuli_gc_aged_rows",
            "Rows of the operation log, of tags' former versions and of usage that this server removed for their age.",
            totals.history,
        ),
    ];
    out.counters(&counted);
    out.family(
        "lazuli_gc_phase",
        "gauge",
        "1 for the part of a pass that this server is at; 0 for all between two passes.",
    );
    for phase in Phase::ALL.into_iter().filter(|phase| *phase != Phase::Done) {
        let is_now = counters.phase() == Some(phase);
        out.sample(
            "",
            &[("phase", phase.as_str())],
            f64::from(u8::from(is_now)),
        );
    }
    if let Some(progress) = counters.progress() {
        out.family(
            "lazuli_gc_phase_progress_ratio",
            "gauge",
            "How much of that part is done, where that can be told.",
        );
        out.sample("", &[], progress);
    }
    if let Some(at) = counters.completed_at() {
        out.family(
            "lazuli_gc_last_completed_timestamp_seconds",
            "gauge",
            "When this server's last pass came to its end, in seconds since 1970.",
        );
        out.sample("", &[], at as f64 / 1e6);
    }
}
