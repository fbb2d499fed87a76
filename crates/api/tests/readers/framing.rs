//! Heads as they come from the network, in pieces of any length.

use lazuli_api::testing::HeadScanner;
use proptest::collection::vec;
use proptest::prelude::*;

fn ambiguous(scanner: &mut HeadScanner, pieces: &[&[u8]]) -> bool {
    scanner.expect_request();
    for piece in pieces {
        scanner.observe(piece);
    }
    scanner.is_ambiguous()
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect()
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    vec(any::<prop::sample::Index>(), 0..8)
}

fn newline() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["\r\n", "\n"])
}

/// A field's name, and whether it tells the length of the body.
fn names() -> impl Strategy<Value = (String, bool)> {
    let telling = prop::sample::select(vec!["content-length", "transfer-encoding"]);
    let cased = (telling, any::<u64>()).prop_map(|(name, upper)| {
        let letter = |(place, byte): (usize, char)| match upper >> place & 1 {
            0 => byte,
            _ => byte.to_ascii_uppercase(),
        };
        (name.chars().enumerate().map(letter).collect(), true)
    });
    let near = [
        "Host",
        "X-Content-Length",
        "Content-Lengths",
        "Content",
        "Transfer-Encodin",
    ];
    let near = prop::sample::select(near.to_vec()).prop_map(|name| (name.to_owned(), false));
    prop_oneof![cased, near]
}

#[derive(Debug, Clone)]
struct Head {
    text: String,
    told: usize,
}

/// A head with the empty lines that may come before it.
fn heads(methods: &[&'static str]) -> impl Strategy<Value = Head> {
    let field = (
        names(),
        "[ -~]{0,20}",
        newline(),
        prop_oneof![9 => Just(1), 1 => 100..300_usize],
    );
    (
        vec(newline(), 0..3),
        prop::sample::select(methods.to_vec()),
        newline(),
        vec(field, 0..6),
        newline(),
    )
        .prop_map(|(before, method, end, fields, last)| {
            let mut head = Head {
                text: format!("{}{method} /v2/ HTTP/1.1{end}", before.concat()),
                told: 0,
            };
            for ((name, tells), value, end, times) in fields {
                head.text
                    .push_str(&format!("{name}:{value}{end}").repeat(times));
                head.told += usize::from(tells) * times;
            }
            head.text.push_str(last);
            head
        })
}

/// Bytes that look like a head now and then.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "PUT / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\n",
        "\r\n",
        "\n",
        "\r",
        "Content-Length:",
        "transfer-encoding:",
        " 4",
        "x",
    ]);
    let fragment = prop_oneof![
        4 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(fragment, 0..16).prop_map(|fragments| fragments.concat())
}

const WITH_BODY: &[&str] = &["PUT", "POST", "PATCH", "DELETE", "put", "X"];
const WITHOUT_BODY: &[&str] = &["GET", "HEAD", "OPTIONS"];

proptest! {
    #[test]
    fn a_length_told_twice_is_seen(head in heads(WITH_BODY), body in fragments(), cuts in cuts()) {
        let bytes = [head.text.as_bytes(), &body].concat();
        let scanner = &mut HeadScanner::default();
        prop_assert_eq!(ambiguous(scanner, &pieces(&bytes, &cuts)), head.told > 1);
    }

    #[test]
    fn heads_without_a_body_are_not_looked_at(head in heads(WITHOUT_BODY), cuts in cuts()) {
        let pieces = pieces(head.text.as_bytes(), &cuts);
        prop_assert!(!ambiguous(&mut HeadScanner::default(), &pieces));
    }

    #[test]
    fn how_bytes_are_split_does_not_matter(bytes in fragments(), cuts in cuts()) {
        let whole = ambiguous(&mut HeadScanner::default(), &[&bytes]);
        prop_assert_eq!(ambiguous(&mut HeadScanner::default(), &pieces(&bytes, &cuts)), whole);
        let single: Vec<_> = bytes.chunks(1).collect();
        prop_assert_eq!(ambiguous(&mut HeadScanner::default(), &single), whole);
    }

    #[test]
    fn a_request_does_not_depend_on_the_one_before(first in fragments(), second in fragments(), cuts in cuts()) {
        let scanner = &mut HeadScanner::default();
        ambiguous(scanner, &[&first]);
        let alone = ambiguous(&mut HeadScanner::default(), &[&second]);
        prop_assert_eq!(ambiguous(scanner, &pieces(&second, &cuts)), alone);
    }
}

#[test]
fn a_scanner_keeps_a_few_bytes_however_long_the_head() {
    assert!(!std::mem::needs_drop::<HeadScanner>(), "it owns no memory");
    assert!(size_of::<HeadScanner>() <= 64);
}
