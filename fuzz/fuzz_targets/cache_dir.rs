//! libFuzzer on `gitmoor_fuzz::cache_dir`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitmoor_fuzz::cache_dir::run(data));
