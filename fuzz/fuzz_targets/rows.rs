//! libFuzzer on `gitmoor_fuzz::rows`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitmoor_fuzz::rows::run(data));
