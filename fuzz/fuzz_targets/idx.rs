//! libFuzzer on `gitmoor_fuzz::idx`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitmoor_fuzz::idx::run(data));
