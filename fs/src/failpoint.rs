//! The file system's failpoints; see [`gitmoor_instrument::failpoint`].

gitmoor_instrument::failpoints! {
    /// An object file is checked and about to get its final name.
    OBJECT_UNNAMED = "objects::unnamed";
    /// It has the name; this process has not noted it.
    OBJECT_NAMED = "objects::named";
    /// An object file of another repository has a name here; the catalog does not know.
    BORROWED = "objects::borrowed";
    /// Loose objects were made into a pack; nothing of it is stored.
    BUNDLED = "publish::bundled";
    /// A bundle's pack has its name, its index has not.
    BUNDLE_NAMELESS_IDX = "publish::pack-without-idx";
    /// A file is about to be stored.
    UNSENT = "publish::unsent";
    /// A file is stored, others perhaps not.
    SENT = "publish::sent";
    /// Every file is stored; the catalog does not know.
    STORED = "publish::stored";
    /// The catalog knows (and the ref moved); nobody has been told.
    CATALOGUED = "publish::catalogued";
    /// One of the catalogued files has left staging.
    ADOPTED = "publish::adopted";
    /// One of the loose files that are in a pack now is gone.
    UNBUNDLED = "publish::unbundled";
    /// A ref moved; its lock file is still there.
    REF_COMMITTED = "refs::committed";
    /// A step of a transaction is answered, and waits.
    REF_GATHERED = "refs::gathered";
    /// A piece of a new `packed-refs` is committed.
    PACKED_PIECE = "refs::packed-piece";
    /// `packed-refs` is committed; what git wrote is still there.
    PACKED_COMMITTED = "refs::packed-committed";
    /// A value is committed; what it was read from is still there.
    REF_WRITTEN = "refs::written";
    /// A repository exists; this machine has no directory for it.
    REPO_CREATED = "repository::created";
    /// A repository that was made elsewhere has its directory here, but no config.
    REPO_UNFURNISHED = "repository::unfurnished";
    /// Files that hosts keep are replicated; the plain files are still there.
    HOST_FILES_ADOPTED = "repository::host-files-adopted";
    /// A new config is in place; its format is not replicated.
    CONFIG_RENAMED = "repository::config-renamed";
    /// A repository is deleted; its directory is still there.
    REPO_DELETED = "repository::deleted";
    /// One of the files that it made is stored.
    REPACK_SENT = "repack::sent";
    /// All are; the catalog does not know.
    REPACK_STORED = "repack::stored";
    /// The catalog knows; nobody has been told.
    REPACK_PUBLISHED = "repack::published";
    /// The store has copied files that a fork borrowed; the catalog does not name the copies.
    OWN_COPIED = "own::copied";
    /// It does; the loans have not ended.
    OWN_PUBLISHED = "own::published";
}
