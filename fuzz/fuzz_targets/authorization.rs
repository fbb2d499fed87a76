//! `Authorization` headers: what is read is bounded and plain, and is read the same from the form it is usually written in.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lazuli_identity::testing::{Presented, read_authorization};
use lazuli_identity::{MAX_HEADER, MAX_TOKEN};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    let Ok(presented) = read_authorization(value) else {
        return;
    };
    assert!(value.len() <= MAX_HEADER);
    let usual = match &presented {
        Presented::Bearer(token) => {
            assert!(!token.is_empty() && token.len() <= MAX_TOKEN);
            assert!(
                token
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            );
            assert!(value.ends_with(token.as_bytes()));
            format!("Bearer {token}")
        }
        Presented::Basic(user, password) => {
            assert!(!user.contains(':'));
            assert!(!user.chars().chain(password.chars()).any(char::is_control));
            format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
        }
    };
    assert_eq!(read_authorization(usual.as_bytes()), Ok(presented));
});
