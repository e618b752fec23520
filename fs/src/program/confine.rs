//! Landlock: which paths and which network a program, and all that it starts, can reach, whatever its user may. An old kernel
//! has none of it, or only a part; then user, environment and limits are what protects, and the log says so once.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, Scope, make_bitflags, path_beneath_rules,
};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Once;

/// The newest that we ask for: connections (4), devices (5), signals and abstract sockets (6).
const WANTED: ABI = ABI::V6;

/// How far this kernel goes along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Confinement {
    /// Everything that we ask of Landlock.
    Whole,
    /// Paths, and not everything else.
    Partial,
    /// The kernel has no Landlock.
    None,
}

/// What the running kernel can confine.
pub fn confinement() -> Confinement {
    let has = |abi| handled(CompatLevel::HardRequirement, abi, false).is_ok();
    match (has(WANTED), has(ABI::V1)) {
        (true, _) => Confinement::Whole,
        (false, true) => Confinement::Partial,
        (false, false) => Confinement::None,
    }
}

/// What a program may reach.
#[derive(Default)]
pub(super) struct Reach {
    /// Read and executed.
    pub(super) runs: Vec<PathBuf>,
    /// Read.
    pub(super) reads: Vec<PathBuf>,
    /// Changed.
    pub(super) writes: Vec<PathBuf>,
    /// Any address.
    pub(super) network: bool,
}

impl Reach {
    /// `None` where the kernel knows nothing of it. A path that is not there is left out: it cannot be opened either.
    pub(super) fn ruleset(&self) -> io::Result<Option<OwnedFd>> {
        say_once();
        let ruleset = handled(CompatLevel::BestEffort, WANTED, self.network);
        let ruleset = ruleset.and_then(|ruleset| {
            ruleset
                .add_rules(path_beneath_rules(&self.runs, AccessFs::from_read(WANTED)))?
                .add_rules(path_beneath_rules(&self.reads, READ))?
                .add_rules(path_beneath_rules(["/dev/null"], NULL))?
                .add_rules(path_beneath_rules(&self.writes, changes(self.network)))
        });
        Ok(ruleset.map_err(io::Error::other)?.into())
    }
}

/// What is refused where no rule allows it. A program that may connect may talk to the agents of the administrator.
fn handled(level: CompatLevel, abi: ABI, network: bool) -> Result<RulesetCreated, RulesetError> {
    let mut ruleset = Ruleset::default().set_compatibility(level);
    ruleset = ruleset.handle_access(AccessFs::from_all(abi))?;
    if !network && abi != ABI::V1 {
        ruleset = ruleset.handle_access(AccessNet::from_all(abi))?;
        ruleset = ruleset.scope(Scope::from_all(abi))?;
    }
    ruleset.create()
}

const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
const NULL: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | WriteFile});

/// Who reads afterwards what was written must not come by links, devices or FIFOs. A program that may connect is the
/// administrator's, and keeps sockets beside its keys.
fn changes(network: bool) -> BitFlags<AccessFs> {
    use AccessFs::{Execute, IoctlDev, MakeBlock, MakeChar, MakeFifo, MakeSock, MakeSym};
    let all = AccessFs::from_all(WANTED);
    match network {
        true => all & !(MakeBlock | MakeChar),
        false => all & !(Execute | IoctlDev | MakeBlock | MakeChar | MakeFifo | MakeSock | MakeSym),
    }
}

fn say_once() {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        let lacks = match confinement() {
            Confinement::Whole => return,
            Confinement::Partial => "a part of Landlock",
            Confinement::None => "Landlock",
        };
        tracing::warn!("this kernel lacks {lacks}: git is not kept to the files of its job as tightly as it could be; Linux 6.12 or newer has it, if it is not turned off (lsm=)");
    });
}
