//! The object store, as the daemon reaches it; without a daemon as the settings say.

use super::{Check, Finding, Patient, Probe};
use crate::command::{Reply, Request};
use crate::service;
use gitmoor_fs::StoreOwner;
use gitmoor_fs::owner::last_claim;
use gitmoor_store::object_store::{self, ObjectStore, StoreUrl};
use std::sync::Arc;
use tokio::runtime::Handle;

/// Ages of objects, and S3's signatures, go by both clocks.
const SKEW: i64 = 60;

pub(super) fn works(patient: &mut Patient) -> Check {
    let name = "store";
    let mend = "see what the message names: endpoint, bucket, keys and their permissions";
    let failed = |problem: String| Check::new(name, "", vec![Finding::new(problem, mend)]);
    let probed = match patient.answering() {
        Some(daemon) => match daemon.client.ask(&Request::Probe) {
            Ok(Ok(Reply::Probed(probe))) => Ok(probe),
            // Of a node without a mount, which has no store.
            _ if daemon.status.is_none() => {
                return Check::new(name, "not asked: this node has no mount", Vec::new());
            }
            Ok(Ok(other)) => Err(format!("unexpected reply {other:?}")),
            Ok(Err(rejection)) => Err(rejection.to_string()),
            Err(error) => Err(error.to_string()),
        },
        None => probe(patient),
    };
    let owner = patient.status().and_then(|status| status.owner.as_ref());
    match probed {
        Ok(probe) => judged(name, &probe, owner),
        Err(problem) => failed(problem),
    }
}

fn judged(name: &'static str, probe: &Probe, owner: Option<&StoreOwner>) -> Check {
    let Some(probed) = &probe.probed else {
        return Check::new(name, format!("{}: {}", probe.store, probe.note), Vec::new());
    };
    let mut findings = Vec::new();
    if probed.ahead.abs() > SKEW {
        let direction = if probed.ahead > 0 {
            "ahead of"
        } else {
            "behind"
        };
        let problem = format!(
            "the clock of {} is {} s {direction} this machine's: gc goes by both, and S3 refuses \
             requests from 15 minutes on",
            probe.store,
            probed.ahead.abs()
        );
        findings.push(Finding::new(
            problem,
            "set the clocks (timedatectl set-ntp true)",
        ));
    }
    let overwrites = match probed.refuses_overwrite {
        true => "",
        false => ", without conditional writes: keys get digests",
    };
    let (claimed, problem) = owner.map(owned).unwrap_or_default();
    findings.extend(problem);
    let note = format!(
        "{} takes, gives, lists and removes objects{overwrites}{}{claimed}",
        probe.store, probe.note
    );
    Check::new(name, note, findings)
}

/// Whose the store is, and what to do if it is not this state's.
fn owned(owner: &StoreOwner) -> (String, Option<Finding>) {
    let note = match &owner.claim {
        Some(claim) => format!(", claimed by {claim}"),
        None => String::new(),
    };
    let finding = owner.problem.as_ref().map(|problem| {
        let mend = "unmount, if another state is to own the store; else gitmoor take-over";
        Finding::new(problem.clone(), mend)
    });
    (note, finding)
}

/// A store of our own.
enum StoreOpened {
    Store(Arc<dyn ObjectStore>),
    /// It is not to be.
    NotAsked {
        store: String,
        note: &'static str,
    },
}

/// It is not begun if it is not there.
fn open(patient: &Patient, runtime: &Handle) -> Result<StoreOpened, String> {
    let settings = &patient.settings.store;
    let given = settings.url.as_ref().map(StoreUrl::to_string);
    if patient.dir.store().check_mounted_before().is_err() && given.is_none() {
        return Ok(StoreOpened::NotAsked {
            store: "the store".to_owned(),
            note: "not begun yet",
        });
    }
    let url = match patient.dir.cluster().is_joined() {
        true => patient.dir.store().url_in_cluster(given.as_deref(), None),
        false => patient.dir.store().url(given.as_deref()),
    };
    let url = url.map_err(|error| error.to_string())?;
    if settings.offline {
        return Ok(StoreOpened::NotAsked {
            store: url,
            note: "not asked: the settings say offline",
        });
    }
    let parsed: StoreUrl = url.parse().map_err(|error| format!("{error}"))?;
    let (s3, runtime) = (settings.s3.clone(), runtime.clone());
    let opened = match patient.settings.mount.read_only {
        true => object_store::open_read_only(&parsed, s3, runtime),
        false => object_store::open(&parsed, s3, runtime),
    };
    opened
        .map(StoreOpened::Store)
        .map_err(|error| error.to_string())
}

fn probe(patient: &Patient) -> Result<Probe, String> {
    let unprobed = |store, note: &str| Probe {
        store,
        note: note.to_owned(),
        probed: None,
    };
    let runtime = service::runtime().map_err(|error| error.to_string())?;
    let store = match open(patient, runtime.handle())? {
        StoreOpened::NotAsked { store, note } => return Ok(unprobed(store, note)),
        StoreOpened::Store(store) => store,
    };
    if patient.settings.mount.read_only {
        let note = "can be read; nothing is written, as the settings say read-only";
        return Ok(unprobed(store.describe(), note));
    }
    let probed = object_store::probe(&*store).map_err(|error| error.to_string())?;
    // Whether the next mount will own it, that finds out.
    let claim = last_claim(&*store).map_err(|error| error.to_string())?;
    Ok(Probe {
        store: store.describe(),
        note: claim.map_or_else(String::new, |claim| format!(", claimed by {claim}")),
        probed: Some(probed),
    })
}
