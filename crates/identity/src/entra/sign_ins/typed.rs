//! Codes that people type.

use crate::error::Error;
use crate::random;

/// What people type: no vowels, so no words; nothing that looks like something else.
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// Length of what people type.
const USER_CODE: usize = 9;

/// What people type, without spaces and dashes, in upper case; `None` if it cannot be a code.
pub(super) fn typed(text: &str) -> Option<String> {
    let bare = text.chars().filter(|c| !c.is_whitespace() && *c != '-');
    let bare: String = bare.collect::<String>().to_ascii_uppercase();
    let is_code = bare.len() == USER_CODE && bare.bytes().all(|byte| ALPHABET.contains(&byte));
    is_code.then_some(bare)
}

pub(super) fn user_code() -> Result<String, Error> {
    let mut code = String::new();
    while code.len() < USER_CODE {
        // 240 = 12 · 20: higher values would make the first letters likelier.
        let fresh = random::bytes::<32>()?
            .into_iter()
            .filter(|byte| *byte < 240);
        let missing = USER_CODE - code.len();
        code.extend(
            fresh
                .take(missing)
                .map(|byte| char::from(ALPHABET[usize::from(byte) % 20])),
        );
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_is_read_as_they_type_it() {
        let code = user_code().unwrap();
        assert_eq!(typed(&code), Some(code.clone()));
        let (one, two) = code.split_at(4);
        let sloppy = format!(" {}-{} ", one.to_lowercase(), two);
        assert_eq!(typed(&sloppy), Some(code));
        for text in ["", "A", "AEIOUAEIO", "BCDFGHJKLM", "BCDFGHJK1"] {
            assert_eq!(typed(text), None, "{text}");
        }
    }
}
