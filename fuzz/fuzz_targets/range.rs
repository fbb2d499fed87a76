//! `Range` and `Content-Range`: what is served is inside, what is taken has a length.
#![no_main]

use lazuli_wire::oci::{MAX_SIZE, RangeOutcome, parse_content_range, parse_range};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &str)| {
    let (size, header) = input;
    for header in [header, &format!("bytes={header}")] {
        if let RangeOutcome::Single {
            start,
            end_inclusive,
        } = parse_range(header, size)
        {
            assert!(start <= end_inclusive && end_inclusive < size);
            let exact = format!("bytes={start}-{end_inclusive}");
            assert_eq!(
                parse_range(&exact, size),
                RangeOutcome::Single {
                    start,
                    end_inclusive
                }
            );
        }
        if let Ok((start, end)) = parse_content_range(header) {
            assert!(start <= end && end < MAX_SIZE);
            assert_eq!(
                parse_content_range(&format!("{start}-{end}")),
                Ok((start, end))
            );
        }
    }
});
