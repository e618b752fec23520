//! `gitmoor audit`.

use super::{ask, output, unexpected};
use crate::Failure;
use crate::admin::protocol::{AuditLine, AuditQuery};
use crate::admin::{Reply, Request};
use crate::cli::{AuditArgs, Place};
use std::io;
use std::time::SystemTime;

/// Asks for a trail, piece by piece.
pub(super) fn run(place: &Place, args: AuditArgs) -> Result<(), Failure> {
    let now = SystemTime::now();
    let mut query = AuditQuery {
        of: args.name,
        reference: args.reference,
        since: args.since.map(|since| since.seconds(now)),
        from: 0,
    };
    let mut all = Vec::new();
    let mut next = Some(0);
    while let Some(from) = next {
        query.from = from;
        let page = match ask(place, &Request::Audit(query.clone()))? {
            Reply::Audit(page) => page,
            other => return Err(unexpected(place, &other)),
        };
        next = page.next;
        match args.json {
            true => all.extend(page.lines),
            false => page.lines.iter().try_for_each(print)?,
        }
    }
    match args.json {
        true => Ok(output::json(&all)?),
        false => Ok(()),
    }
}

fn print(line: &AuditLine) -> io::Result<()> {
    let AuditLine {
        event, what, who, ..
    } = line;
    let what = match event.as_str() {
        "ref" => what.clone(),
        event => format!("{event} {what}"),
    };
    let nothing = || "nothing".to_owned();
    let change = match (&line.old, &line.new) {
        (None, None) => String::new(),
        (old, new) => {
            let (old, new) = (old.clone(), new.clone());
            let (old, new) = (old.unwrap_or_else(nothing), new.unwrap_or_else(nothing));
            format!("  {old} -> {new}")
        }
    };
    let date = output::date(line.time);
    output::line(format_args!("{date}  {what}{change}  by {who}"))
}
