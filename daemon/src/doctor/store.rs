//! The object store, as the daemon reaches it; without a daemon as the settings say.

use super::{Check, Finding, Patient};
use crate::admin::protocol::Probe;
use crate::admin::{Reply, Request};
use crate::service;
use gitmoor_fs::store::{self, StoreUrl};

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
    match probed {
        Ok(probe) => judged(name, &probe),
        Err(problem) => failed(problem),
    }
}

fn judged(name: &'static str, probe: &Probe) -> Check {
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
    let note = format!(
        "{} takes, gives, lists and removes objects{overwrites}",
        probe.store
    );
    Check::new(name, note, findings)
}

/// With a store of our own, which is not begun if it is not there.
fn probe(patient: &Patient) -> Result<Probe, String> {
    let settings = &patient.settings.store;
    let given = settings.url.as_ref().map(StoreUrl::to_string);
    if patient.dir.check_mounted_before().is_err() && given.is_none() {
        return Ok(Probe {
            store: "the store".to_owned(),
            note: "not begun yet".to_owned(),
            probed: None,
        });
    }
    let url = match patient.dir.is_in_cluster() {
        true => patient.dir.store_url_in(given.as_deref(), None),
        false => patient.dir.store_url(given.as_deref()),
    };
    let url = url.map_err(|error| error.to_string())?;
    let not_asked = |note: &str| Probe {
        store: url.clone(),
        note: note.to_owned(),
        probed: None,
    };
    if settings.offline {
        return Ok(not_asked("not asked: the settings say offline"));
    }
    let parsed: StoreUrl = url.parse().map_err(|error| format!("{error}"))?;
    let runtime = service::runtime().map_err(|error| error.to_string())?;
    let read_only = patient.settings.mount.read_only;
    let (s3, runtime) = (settings.s3.clone(), runtime.handle().clone());
    let opened = match read_only {
        true => store::open_read_only(&parsed, s3, runtime),
        false => store::open(&parsed, s3, runtime),
    };
    let opened = opened.map_err(|error| error.to_string())?;
    if read_only {
        return Ok(not_asked(
            "can be read; nothing is written, as the settings say read-only",
        ));
    }
    let probed = store::probe(&*opened).map_err(|error| error.to_string())?;
    Ok(Probe {
        store: opened.describe(),
        note: String::new(),
        probed: Some(probed),
    })
}
