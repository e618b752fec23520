//! libFuzzer on `gitmoor_fuzz::door`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitmoor_fuzz::door::run(data));
