//! Entropy from the operating system.

/// The operating system gave no entropy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no entropy")]
pub struct NoEntropy;

/// Random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], NoEntropy> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoEntropy)?;
    Ok(bytes)
}

/// Letters and digits, each equally likely (5.95 bits each). No character needs quoting in a shell or a URL.
pub(crate) fn alphanumeric(length: usize) -> Result<String, NoEntropy> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(length);
    while text.len() < length {
        // 248 = 4 · 62: higher values would make the first letters likelier.
        let fresh = bytes::<64>()?.into_iter().filter(|byte| *byte < 248);
        let missing = length - text.len();
        text.extend(
            fresh
                .take(missing)
                .map(|byte| char::from(ALPHABET[usize::from(byte) % 62])),
        );
    }
    Ok(text)
}

/// A random UUID (version 4).
pub(crate) fn guid() -> Result<lazuli_wire::Guid, NoEntropy> {
    let mut bytes = bytes::<16>()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Ok(lazuli_wire::Guid::from_bytes(bytes))
}

/// A random UUID (version 4) in text form.
pub(crate) fn uuid() -> Result<String, NoEntropy> {
    guid().map(|guid| guid.to_string())
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alphanumeric_text_has_the_length_asked_for_and_uses_the_whole_alphabet() {
        let text = alphanumeric(20_000).unwrap();
        assert_eq!(text.len(), 20_000);
        let letters: std::collections::BTreeSet<char> = text.chars().collect();
        assert_eq!(letters.len(), 62);
    }

    #[test]
    fn uuids_are_version_4_and_differ() {
        let (one, two) = (uuid().unwrap(), uuid().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }
}
