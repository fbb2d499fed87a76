//! `/metrics`, `/healthz` and `/readyz`.

use std::collections::{BTreeMap, BTreeSet};

use lazuli_testkit::server::Server;

use crate::support::{push, start, text};

/// An exposition of OpenMetrics 1.0, read strictly: families in one piece, each sample of the family before it.
struct Metrics {
    types: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

impl Metrics {
    fn of(server: &Server) -> Self {
        let response = server.anonymous().get("/metrics");
        assert_eq!(response.status, 200);
        let content_type = response.header("content-type").unwrap();
        assert!(
            content_type.starts_with("application/openmetrics-text; version=1.0.0"),
            "{content_type}"
        );
        Self::parse(&text(&response.body))
    }

    fn parse(text: &str) -> Self {
        let lines = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
        let mut metrics = Self {
            types: BTreeMap::new(),
            samples: BTreeMap::new(),
        };
        let mut family = String::new();
        for line in lines.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let (word, rest) = rest.split_once(' ').unwrap();
                let (name, value) = rest.split_once(' ').unwrap();
                assert!(
                    !value.is_empty() && matches!(word, "TYPE" | "HELP" | "UNIT"),
                    "{line}"
                );
                assert!(is_name(name), "{line}");
                if name != family {
                    let seen = metrics.types.contains_key(name);
                    assert!(!seen, "{name} is in two pieces");
                    name.clone_into(&mut family);
                }
                if word == "TYPE" {
                    metrics.types.insert(name.to_owned(), value.to_owned());
                }
                continue;
            }
            metrics.sample(line, &family);
        }
        metrics
    }

    fn sample(&mut self, line: &str, family: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let name = series.split('{').next().unwrap();
        let suffix = name
            .strip_prefix(family)
            .unwrap_or_else(|| panic!("{line} is not of {family}"));
        let allowed: &[&str] = match self.types[family].as_str() {
            "counter" => &["_total", "_created"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_sum", "_count", "_created"],
            "info" => &["_info"],
            other => panic!("{family} is a {other}"),
        };
        assert!(allowed.contains(&suffix), "{line}");
        if let Some(labels) = series
            .strip_prefix(name)
            .filter(|labels| !labels.is_empty())
        {
            let labels = labels
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'))
                .unwrap();
            for label in labels.split("\",").map(|label| label.trim_end_matches('"')) {
                let (name, value) = label.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
                assert!(is_name(name) && !value.contains(['"', '\n']), "{line}");
            }
        }
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        let is_new = self.samples.insert(series.to_owned(), value).is_none();
        assert!(is_new, "{series} is there twice");
    }

    /// The sum of all samples of a counter that have this label.
    fn sum(&self, name: &str, label: &str) -> f64 {
        let of = |series: &str| series.starts_with(name) && series.contains(label);
        self.samples
            .iter()
            .filter(|(series, _)| of(series))
            .map(|(_, value)| value)
            .sum()
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}

#[test]
fn metrics_are_openmetrics_and_count_requests() {
    let server = start();
    let before = Metrics::of(&server);
    for _ in 0..7 {
        assert_eq!(server.admin().get("/v2/none/tags/list").status, 404);
    }
    for _ in 0..3 {
        assert_eq!(server.anonymous().get("/v2/").status, 401);
    }
    let content = vec![5; 100_000];
    let digest = push(&server, "metrics/app", &content);
    let get = server
        .admin()
        .get(&format!("/v2/metrics/app/blobs/{digest}"));
    assert_eq!(get.body.len(), content.len());
    let after = Metrics::of(&server);
    assert_eq!(
        before.types.keys().collect::<BTreeSet<_>>(),
        after.types.keys().collect()
    );
    let grown = |label: &str| {
        let of = |metrics: &Metrics| metrics.sum("lazuli_http_requests_total", label) as u64;
        of(&after) - of(&before)
    };
    assert_eq!(grown("endpoint=\"tags\""), 7);
    assert_eq!(grown("endpoint=\"base\""), 3);
    assert_eq!(grown("endpoint=\"blob\""), 1);
    assert_eq!(grown("endpoint=\"upload\""), 1);
    // A label that clients could fill would grow without end.
    let text = text(&server.anonymous().get("/metrics").body);
    assert!(
        !text.contains("metrics/app") && !text.contains("none"),
        "a name is a label"
    );
    // Counters never go back.
    for (series, value) in &before.samples {
        let family = after
            .types
            .iter()
            .filter(|(family, _)| series.starts_with(*family))
            .max_by_key(|(family, _)| family.len());
        if matches!(family, Some((_, kind)) if kind == "counter") {
            assert!(
                after
                    .samples
                    .get(series)
                    .is_some_and(|after| after >= value),
                "{series}"
            );
        }
    }
}

#[test]
fn metrics_are_not_for_those_behind_a_proxy_unless_everyone_may() {
    let mut server = start();
    let forwarded = [("X-Forwarded-For", "203.0.113.9")];
    assert_eq!(
        server
            .anonymous()
            .send("GET", "/metrics", &forwarded, &[])
            .status,
        404
    );
    for (access, status) in [("everyone", 200), ("off", 404)] {
        server.set_environment(&[("LAZULI_METRICS_ACCESS", access)]);
        server.restart();
        assert_eq!(
            server
                .anonymous()
                .send("GET", "/metrics", &forwarded, &[])
                .status,
            status,
            "{access}"
        );
    }
}

#[test]
fn health_is_told_without_credentials_and_by_get_and_head_only() {
    let server = start();
    for path in ["/healthz", "/readyz"] {
        let response = server.anonymous().get(path);
        assert_eq!(
            (response.status, response.header("cache-control")),
            (200, Some("no-store"))
        );
        assert_eq!(server.anonymous().head(path).status, 200);
        for method in ["POST", "PUT", "DELETE"] {
            assert_eq!(server.admin().send(method, path, &[], &[]).status, 405);
        }
    }
    let ready = text(&server.anonymous().get("/readyz").body);
    assert_eq!(ready.lines().count(), 3, "{ready}");
    assert!(ready.lines().all(|line| line.ends_with(": ok")), "{ready}");
}
