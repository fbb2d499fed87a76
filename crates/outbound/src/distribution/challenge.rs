//! `WWW-Authenticate` as registries send it (RFC 9110 §11.6.1; Docker token specification).

/// How a registry wants to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// The password with each request.
    Basic,
    /// A token from `realm`.
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

impl Challenge {
    /// Reads one field value; the last challenge that can be answered counts, a token before a password.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let mut found = None;
        let mut rest = value.trim_start();
        while !rest.is_empty() {
            let (scheme, after) = split_token(rest)?;
            let (parameters, after) = parameters(after.trim_start());
            rest = after;
            let get = |name: &str| {
                let mut all = parameters.iter();
                all.find(|(key, _)| key.eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.clone())
            };
            if scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = get("realm")
            {
                let (service, scope) = (get("service"), get("scope"));
                return Some(Self::Bearer {
                    realm,
                    service,
                    scope,
                });
            } else if scheme.eq_ignore_ascii_case("basic") {
                found = Some(Self::Basic);
            }
        }
        found
    }
}

fn split_token(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)))
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// Reads `name=value` pairs up to the next scheme.
fn parameters(mut text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    loop {
        text = text.trim_start_matches([' ', '\t', ',']);
        let Some((name, rest)) = split_token(text) else {
            // Nothing that can be read follows.
            return (found, "");
        };
        let Some(rest) = rest.trim_start().strip_prefix('=') else {
            return (found, text);
        };
        let (value, rest) = value(rest.trim_start());
        found.push((name.to_owned(), value));
        text = rest;
    }
}

fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn challenges_of_known_registries_are_read() {
        for (text, expected) in [
            ("Basic realm=\"basic-realm\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                Some(bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:a/b:pull,push"),
                )),
            ),
            (
                r#"bearer  Realm = "x\"y" , error=invalid_token, service=z"#,
                Some(bearer("x\"y", Some("z"), None)),
            ),
            (
                r#"Basic realm="a", Bearer realm="b""#,
                Some(bearer("b", None, None)),
            ),
            (r#"Negotiate, Basic realm="a""#, Some(Challenge::Basic)),
            ("Bearer", None),
            ("Digest realm=\"a\"", None),
            (
                "Bearer realm=\"never ended",
                Some(bearer("never ended", None, None)),
            ),
            ("", None),
            ("=;", None),
        ] {
            assert_eq!(Challenge::parse(text), expected, "{text}");
        }
    }
}
