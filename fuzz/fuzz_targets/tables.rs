//! libFuzzer on `gitmoor_fuzz::tables`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitmoor_fuzz::tables::run(data));
