//! libFuzzer on `gitmoor_fuzz::marker`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitmoor_fuzz::marker::run(data));
