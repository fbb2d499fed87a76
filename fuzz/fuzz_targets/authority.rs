//! `Host` and `X-Forwarded-Host`: what is read is plain, and means the same to another reader.
#![no_main]

use lazuli_api::testing::{LONGEST_AUTHORITY, read_authority};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Some((host, port)) = read_authority(text) else {
        return;
    };
    assert!(text.len() <= LONGEST_AUTHORITY);
    assert!(
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(&byte))
    );
    assert!(!host.contains("..") && !host.starts_with('.'));
    let usual = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    assert_eq!(read_authority(&usual), Some((host, port)));
    assert_eq!(
        read_authority(&text.to_ascii_lowercase()),
        Some((host.to_ascii_lowercase().as_str(), port))
    );
    let other: http::uri::Authority = text.parse().expect("what we read is an authority");
    assert_eq!((other.host(), other.port_u16()), (host, port));
});
