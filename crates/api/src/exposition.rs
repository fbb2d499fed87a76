//! OpenMetrics text.

use std::fmt::Write;

/// OpenMetrics text in the making. Families are written one after the other, each with its samples.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    family: &'static str,
}

impl Exposition {
    /// The media type of the text.
    pub const CONTENT_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Begins a family: its name without suffix, its type (`counter`, `gauge`, `histogram`, `info`) and what it means.
    pub fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# TYPE {name} {kind}\n# HELP {name} {help}");
    }

    /// Adds a sample to the family: `suffix` is `_total` for counters and empty for gauges.
    pub fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(self.family);
        self.text.push_str(suffix);
        for (index, (name, value)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.text, "{name}=\"");
            for character in value.chars() {
                match character {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// Adds families of one counter each: name without suffix, meaning, count.
    pub fn counters(&mut self, counters: &[(&'static str, &str, u64)]) {
        for (name, help, count) in counters {
            self.family(name, "counter", help);
            self.sample("_total", &[], *count as f64);
        }
    }

    /// The finished text.
    pub(crate) fn finish(mut self) -> String {
        self.text.push_str("# EOF\n");
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let mut out = Exposition::default();
        out.family("f", "gauge", "h");
        out.sample("", &[("a", "x\"y\\z\n"), ("b", "")], 0.5);
        assert!(
            out.finish()
                .contains("f{a=\"x\\\"y\\\\z\\n\",b=\"\"} 0.5\n")
        );
    }
}
