//! Records of a journal, from which a lost database is rebuilt: as somebody without the key may leave them in a bucket, and
//! any lines under a true last one, which have to be read as what is written again.
#![no_main]

use lazuli_registry::journal::Record;
use lazuli_registry::testing::journal_record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    assert!(Record::check(data, &[7; 32]).is_err());
    journal_record(data);
});
