//! libFuzzer on `gitmoor_fuzz::snapshot`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitmoor_fuzz::snapshot::run(data));
