#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

fn key(seed: u8) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &[seed; 32])
}

fn cell() -> impl Strategy<Value = Field> {
    prop_oneof![
        Just(Field(Cell::Null)),
        any::<i64>().prop_map(|number| Field(Cell::Integer(number))),
        any::<String>().prop_map(|text| Field(Cell::Text(text))),
        any::<Vec<u8>>().prop_map(|bytes| Field(Cell::Bytes(bytes))),
    ]
}

fn line() -> impl Strategy<Value = Line> {
    let rows = proptest::collection::vec(proptest::collection::vec(cell(), 0..4), 0..4);
    let optional = || proptest::option::of(any::<Vec<u8>>());
    prop_oneof![
        (any::<String>(), any::<Vec<String>>(), rows).prop_map(|(table, columns, rows)| {
            Line::Rows(Rows {
                table,
                columns,
                rows,
            })
        }),
        (any::<i64>(), any::<String>(), optional()).prop_map(|(size, digest, content)| {
            Line::Blob(KnownBlob {
                registry: 1,
                digest,
                size,
                content,
            })
        }),
        (any::<String>(), any::<String>())
            .prop_map(|(digest, text)| Line::Manifest(Body { digest, text })),
        (any::<i64>(), any::<[String; 3]>(), optional()).prop_map(|(sequence, texts, observed)| {
            let [id, payload, principal] = texts;
            Line::Operation(Logged {
                id,
                sequence,
                registry: 1,
                repository: Some(payload.clone()).filter(|name| !name.is_empty()),
                kind: "untag".to_owned(),
                payload,
                observed,
                principal,
                request: String::new(),
                created_at: -sequence.saturating_abs(),
            })
        }),
    ]
}

fn head(number: u64) -> Head {
    Head {
        journal: "j".to_owned(),
        version: VERSION,
        kind: Kind::Segment,
        generation: 7,
        number,
        after: 3,
        written_at: 5,
        parts: number.is_multiple_of(2).then_some(number),
        included: (0..number % 3).map(|n| n.to_string()).collect(),
    }
}

fn written(number: u64, lines: &[Line]) -> Bytes {
    let mut writer = Writer::new(head(number));
    for line in lines {
        writer.push(line);
    }
    writer.finish(&key(1))
}

proptest! {
    #[test]
    fn what_was_written_is_read(number in any::<u64>(), lines in proptest::collection::vec(line(), 0..6)) {
        let text = written(number, &lines);
        let expected = Record { head: head(number), lines };
        prop_assert_eq!(Record::read(&text, &key(1)), Ok(expected));
        prop_assert_eq!(Record::read(&text, &key(2)), Err(RecordError::Altered));
    }

    #[test]
    fn nothing_that_was_altered_is_read(lines in proptest::collection::vec(line(), 0..4), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let text = written(1, &lines);
        let mut altered = text.to_vec();
        altered[at.index(text.len())] ^= 1 << bit;
        // The case of hexadecimal digits says nothing.
        if !altered.eq_ignore_ascii_case(&text) {
            prop_assert!(Record::read(&altered, &key(1)).is_err());
        }
        let cut = &text[..at.index(text.len())];
        prop_assert!(Record::read(cut, &key(1)).is_err());
    }

    #[test]
    fn any_bytes_are_answered(text in any::<Vec<u8>>(), lines in "(\\{\"(end|head|rows)\":[{}\\[\\]\",:a-z0-9]{0,30}\n){0,4}") {
        prop_assert!(Record::read(&text, &key(1)).is_err());
        prop_assert!(Record::read(lines.as_bytes(), &key(1)).is_err());
    }
}

#[test]
fn a_newer_format_is_said_to_be_one() {
    let mut writer = Writer::new(Head {
        version: VERSION + 1,
        ..head(1)
    });
    writer.text.extend_from_slice(b"{\"something\":\"new\"}\n");
    writer.lines += 1;
    let text = writer.finish(&key(1));
    let newer = RecordError::Newer(VERSION + 1);
    assert_eq!(Record::read(&text, &key(1)), Err(newer));
}

#[test]
fn the_seeds_of_the_fuzz_target_are_records() {
    for name in ["segment", "complete"] {
        let path = format!(
            "{}/../../fuzz/seeds/journal/{name}",
            env!("CARGO_MANIFEST_DIR")
        );
        let mut text = std::fs::read(path).unwrap();
        let lines = text.split(|byte| *byte == b'\n').count() - 1;
        end(&mut text, lines as u64, &key(1));
        assert_eq!(
            Record::read(&text, &key(1)).map(|record| record.lines.len()),
            Ok(lines - 1)
        );
    }
}
