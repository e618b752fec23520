//! libFuzzer on `gitmoor_fuzz::admin`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitmoor_fuzz::admin::run(data));
