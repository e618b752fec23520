//! The failpoints of object stores and the block cache; see [`gitmoor_instrument::failpoint`].

gitmoor_instrument::failpoints! {
    /// An object of the directory store is synced under a temporary name.
    STORE_UNNAMED = "store::unnamed";
    /// It has its name; the directory is not synced.
    STORE_NAMED = "store::named";
    /// A published file was moved into the cache; its map is not there.
    CACHE_TAKEN = "cache::taken";
    /// Fetched blocks are written; the map does not say so.
    CACHE_WRITTEN = "cache::written";
    /// The map lacks evicted blocks; their space is not given back.
    CACHE_EVICTING = "cache::evicting";
    /// An object's map is gone; its data is not.
    CACHE_REMOVING = "cache::removing";
}
