//! What the integration tests and the benches share.
//!
//! Every scenario is a function over a [`place::Place`]: a directory in which
//! repositories may be created. The same body first runs on a plain directory of
//! the disk, which proves that the test itself is right, and then on mounts with
//! each kind of object store.
//!
//! ```text
//! requirement  what a test needs of its machine
//! binary    the `gitmoor` under test
//! process   child processes with a time limit        wait     conditions with a bound
//! git       the installed gits, in a hermetic environment
//! hostile   a user whom nobody trusts, beside a daemon of root's
//! adversary  such a user at random
//! history   repositories of a wanted shape, as fast-import streams
//! ledger    what git acknowledged, against what a crash left
//! mount     one `gitmoor` daemon and its mount point
//! files     files on a disk, and damage to them
//! backend   plain directory, or a mount over a directory, FakeS3 or Garage
//! disk      a disk that is soon full
//! door      a daemon with an HTTP door
//! clocks    clocks of machines that are wrong
//! cluster   several daemons that are one
//! namespaces  machines whose links can be cut
//! postgres  a PostgreSQL server with a repository in it
//! power     a disk whose power can be cut
//! s3        the two S3 servers
//! otlp      a collector of traces
//! watched   what a daemon tells those who watch it
//! requests  what kernels ask a daemon for
//! hosts     hosts and libraries that run unmodified
//! site      a directory, a mount or three machines: where such a host works
//! server    a program that listens on the loopback
//! place     a backend, a scratch directory and a git: what a scenario gets
//! ```

pub mod adversary;
pub mod backend;
pub mod binary;
pub mod clocks;
pub mod cluster;
pub mod disk;
pub mod door;
pub mod files;
pub mod git;
pub mod history;
pub mod hostile;
pub mod hosts;
pub mod ledger;
pub mod mount;
pub mod namespaces;
pub mod otlp;
pub mod peer;
pub mod place;
pub mod postgres;
pub mod power;
pub mod process;
pub mod requests;
pub mod requirement;
pub mod s3;
pub mod server;
pub mod site;
pub mod wait;
pub mod watched;
