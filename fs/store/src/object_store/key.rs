//! What a key may look like. Keys come from the catalog, so from other mounts:
//! one that would leave the store's prefix or directory is refused here, before
//! it becomes a path or a URL.

/// Longest key S3 accepts, bytes; the prefix is taken off by the caller.
const MAX_KEY: usize = 1024;

/// The reason why `key` is unusable, if it is.
pub(super) fn refuse(key: &str) -> Option<&'static str> {
    if key.len() > MAX_KEY {
        return Some("a key has at most 1024 bytes");
    }
    if key.contains('\0') {
        return Some("a key has no NUL");
    }
    key.split('/').find_map(refuse_component)
}

fn refuse_component(component: &str) -> Option<&'static str> {
    match component {
        "" => Some("a key has no empty component, no slash at its ends"),
        "." | ".." => Some("a key has no component . or .."),
        _ if component.len() > 255 => Some("a component of a key has at most 255 bytes"),
        _ => None,
    }
}
