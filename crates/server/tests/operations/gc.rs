//! `lazuli gc` beside a running server, and without one.

use lazuli_testkit::server::PASSWORD;

use crate::commands::run;
use crate::support::{push, start, text};

#[test]
fn a_pass_is_asked_for_and_watched_beside_a_server_and_without_one() {
    let mut server = start();
    push(&server, "gc/app", &vec![7; 1 << 20]);
    let watched = run(&server, &["gc", "run", "--watch"]);
    let said = text(&watched.stdout);
    assert!(watched.status.success(), "{said}{}", text(&watched.stderr));
    assert!(
        said.contains("done           20") && said.contains("took"),
        "{said}"
    );
    assert!(
        said.contains("to be checked  1 blob, 1.0 MiB"),
        "leased: {said}"
    );
    let asked = run(&server, &["gc", "run"]);
    assert!(asked.status.success(), "{}", text(&asked.stderr));
    assert!(text(&asked.stdout).contains("begins within seconds"));
    // The one that was asked for, or the next: both are told of.
    let watched = run(&server, &["gc", "run", "--watch"]);
    assert!(watched.status.success(), "{}", text(&watched.stderr));
    let status = text(&run(&server, &["gc", "status"]).stdout);
    assert!(
        status.contains("running        no") && status.contains("last run       20"),
        "{status}"
    );
    let metrics = text(&server.anonymous().get("/metrics").body);
    let passes = metrics
        .lines()
        .find_map(|line| line.strip_prefix("lazuli_gc_passes_total "))
        .unwrap_or_else(|| panic!("{metrics}"));
    assert!(passes.parse::<u32>().unwrap() >= 2, "{passes}");
    assert!(
        metrics.contains("lazuli_gc_phase{phase=\"links\"} 0\n"),
        "{metrics}"
    );
    assert!(!said.contains(PASSWORD));

    assert!(server.stop());
    let alone = run(&server, &["gc", "run", "--watch"]);
    let said = text(&alone.stdout);
    assert!(alone.status.success(), "{said}{}", text(&alone.stderr));
    assert!(said.contains("done           20"), "{said}");
}
