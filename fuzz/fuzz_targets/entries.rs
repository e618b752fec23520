//! libFuzzer on `gitmoor_fuzz::entries`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitmoor_fuzz::entries::run(data));
