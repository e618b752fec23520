//! The allowlist of replicated settings.

use gitmoor::repo_setting::{SETTINGS, find};

#[test]
fn finds_keys_in_any_case_and_gives_gits_spelling() {
    assert_eq!(
        find("RECEIVE.denynonfastforwards").unwrap().key,
        "receive.denyNonFastForwards"
    );
}

#[test]
fn refuses_whatever_runs_or_names_a_file() {
    for key in [
        "core.fsmonitor",
        "core.hooksPath",
        "core.sshCommand",
        "core.pager",
        "core.alternateRefsCommand",
        "uploadpack.packObjectsHook",
        "include.path",
        "filter.lfs.smudge",
        "diff.external",
        "receive.denyCurrentBranch",
        "receive.procReceiveRefs",
        "gc.logExpiry",
        "alias.x",
        "",
    ] {
        let error = find(key).unwrap_err().to_string();
        assert!(error.contains("gc.auto"), "lists what is allowed: {error}");
    }
}

#[test]
fn checks_values() {
    let check = |key: &str, value: &str| find(key).unwrap().check(value).is_ok();
    assert!(check("gc.auto", "0"));
    assert!(check("pack.windowMemory", "512m"));
    assert!(!check("gc.auto", "never"));
    assert!(check("receive.autogc", "false"));
    assert!(!check("receive.autogc", "maybe"));
    assert!(check("core.logAllRefUpdates", "always"));
    assert!(check("transfer.hideRefs", "!refs/internal/x"));
    assert!(!check(
        "transfer.hideRefs",
        "refs/x\n[core]\nfsmonitor = evil"
    ));
    assert!(!check("transfer.hideRefs", "refs/x\"y"));
    assert!(!check("transfer.hideRefs", "internal"));
}

#[test]
fn the_table_is_sorted_and_without_repetition() {
    let keys = SETTINGS.map(|setting| setting.key.to_ascii_lowercase());
    assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
}
