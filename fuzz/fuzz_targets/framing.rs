//! Heads as they come from the network: a length told twice is seen however the bytes are split, and seen exactly where
//! the HTTP library's own parser sees it.
//!
//! The first byte tells how the rest is cut.
#![no_main]

use lazuli_api::testing::HeadScanner;
use libfuzzer_sys::fuzz_target;

/// More than the server lets through, for the counters' sake.
const MOST_FIELDS: usize = 600;

fn ambiguous(scanner: &mut HeadScanner, pieces: impl Iterator<Item: AsRef<[u8]>>) -> bool {
    scanner.expect_request();
    for piece in pieces {
        scanner.observe(piece.as_ref());
    }
    scanner.is_ambiguous()
}

/// How often the head tells the length of its body, if it is whole and its method has a body.
fn told(bytes: &[u8]) -> Option<usize> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    if !request.parse(bytes).ok()?.is_complete() || request.method?.starts_with(['G', 'H', 'O']) {
        return None;
    }
    let tells = |field: &&mut httparse::Header<'_>| {
        field.name.eq_ignore_ascii_case("content-length")
            || field.name.eq_ignore_ascii_case("transfer-encoding")
    };
    Some(request.headers.iter_mut().filter(tells).count())
}

fuzz_target!(|data: &[u8]| {
    let Some((&cut, bytes)) = data.split_first() else {
        return;
    };
    let mut scanner = HeadScanner::default();
    let whole = ambiguous(&mut scanner, std::iter::once(bytes));
    if let Some(told) = told(bytes) {
        assert_eq!(whole, told > 1, "told {told} times");
    }
    // The same scanner goes on: what it saw before must not matter.
    assert_eq!(ambiguous(&mut scanner, bytes.chunks(1)), whole);
    let length = usize::from(cut).max(1);
    assert_eq!(ambiguous(&mut scanner, bytes.chunks(length)), whole);
    let (first, rest) = bytes.split_at(usize::from(cut).min(bytes.len()));
    assert_eq!(ambiguous(&mut scanner, [first, &[], rest].iter()), whole);
});
