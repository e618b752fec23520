//! libFuzzer on `gitmoor_fuzz::names`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitmoor_fuzz::names::run(data));
