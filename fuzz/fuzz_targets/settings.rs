//! libFuzzer on `gitmoor_fuzz::settings`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitmoor_fuzz::settings::run(data));
