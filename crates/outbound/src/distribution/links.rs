//! `Link` as registries send it (RFC 8288 §3).

/// The target of the link to the next page, among all that a field holds.
pub(super) fn next_page(field: &str) -> Option<&str> {
    let mut rest = field;
    loop {
        // A field that is not well-formed ends here.
        let (target, after) = rest
            .trim_start_matches([' ', '\t', ','])
            .strip_prefix('<')?
            .split_once('>')?;
        let (is_next, after) = parameters(after);
        if is_next {
            return Some(target);
        }
        rest = after;
    }
}

/// Whether the parameters of a link say that it leads to the next page; and what follows them.
fn parameters(mut text: &str) -> (bool, &str) {
    let mut is_next = false;
    loop {
        text = text.trim_start_matches([' ', '\t']);
        let Some(after) = text.strip_prefix(';') else {
            return (is_next, text);
        };
        let after = after.trim_start_matches([' ', '\t']);
        let end = after.find(['=', ';', ',']).unwrap_or(after.len());
        let (name, after) = after.split_at(end);
        let Some(after) = after.strip_prefix('=') else {
            text = after;
            continue;
        };
        let (value, after) = value(after.trim_start_matches([' ', '\t']));
        if name.trim().eq_ignore_ascii_case("rel") {
            let mut relations = value.split_ascii_whitespace();
            is_next |= relations.any(|relation| relation.eq_ignore_ascii_case("next"));
        }
        text = after;
    }
}

/// A value, without its quotes, and what follows. What is escaped in it is no relation.
fn value(text: &str) -> (&str, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',', ' ', '\t']).unwrap_or(text.len());
        return text.split_at(end);
    };
    let mut is_escaped = false;
    for (at, character) in quoted.char_indices() {
        match character {
            '"' if !is_escaped => return (&quoted[..at], &quoted[at + 1..]),
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    (quoted, "")
}

#[cfg(test)]
mod tests {
    use super::next_page;

    #[test]
    fn links_of_known_registries_are_read() {
        for (field, expected) in [
            (
                "</v2/_catalog?last=b&n=2>; rel=\"next\"",
                Some("/v2/_catalog?last=b&n=2"),
            ),
            (
                "</v2/a/tags/list?n=1&last=x>;rel=next",
                Some("/v2/a/tags/list?n=1&last=x"),
            ),
            (
                "</api?page=1>; rel=\"prev\" , </api?page=3>; rel=\"next\"",
                Some("/api?page=3"),
            ),
            (
                "<a,b;c>; title=\"; rel=next\"; REL = \"last NEXT\"",
                Some("a,b;c"),
            ),
            ("<a>; rel=\"prev\"", None),
            ("<a>; title=\"x\\\"; rel=next", None),
            ("<a>, <b>; rel; rel=next", Some("b")),
            ("a; rel=next", None),
            ("<a; rel=next", None),
            ("", None),
        ] {
            assert_eq!(next_page(field), expected, "{field}");
        }
    }
}
