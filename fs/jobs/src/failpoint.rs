//! The failpoints of jobs, and all that this process has; see [`gitmoor_instrument::failpoint`].

use gitmoor_fs::failpoint as fs;
use gitmoor_instrument::failpoint::{self, Failpoint};
use gitmoor_replicator::failpoint as replicator;
use gitmoor_store::failpoint as store;

gitmoor_instrument::failpoints! {
    /// Maintenance has its view of a repository; git has not begun.
    REPACK_VIEW = "repack::view";
    /// git is done; nothing of what it made is stored.
    REPACK_MADE = "repack::made";
    /// An import has begun; nothing is stored.
    IMPORT_BEGUN = "import::begun";
    /// No ref of the source can change any more; it is not served here.
    IMPORT_FENCED = "import::fenced";
    /// A repository that borrowed has all of its files; its source still lends.
    IMPORT_GIVEN = "import::given";
    /// It is served here; that it is to be imported stands nowhere else.
    IMPORT_TAKEN_OVER = "import::taken-over";
    /// A file of an import is stored; the replicator does not know.
    IMPORT_SENT = "import::sent";
    /// It knows.
    IMPORT_NOTED = "import::noted";
    /// All files of an import are stored.
    IMPORT_COPIED = "import::copied";
    /// All were read back.
    IMPORT_VERIFIED = "import::verified";
    /// The refs of an import are noted; it has no name.
    IMPORT_REFS = "import::refs";
    /// It has its name; nobody has been told.
    IMPORT_FINISHED = "import::finished";
}

/// Gives points of jobs, the file system, the store and the replicator their actions, see
/// [`failpoint::arm`].
pub fn arm(text: &str) -> Result<(), String> {
    let known: Vec<Failpoint> = [ALL, fs::ALL, store::ALL, replicator::ALL].concat();
    failpoint::arm(text, &known)
}
