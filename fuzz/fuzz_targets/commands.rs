//! libFuzzer on `gitmoor_fuzz::commands`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitmoor_fuzz::commands::run(data));
